"""GELF: chunks put together, compressed messages, keys."""

import gzip
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs import gelf
from agent.inputs.gelf import CHUNK, Broken, Chunks, inflate, is_compressed, read_gelf


def chunks_of(message: bytes, size: int, name: bytes = b"identity") -> list[bytes]:
    """A message as a sender cuts it."""
    parts = [message[i : i + size] for i in range(0, len(message), size)]
    return [CHUNK + name + bytes([i, len(parts)]) + part for i, part in enumerate(parts)]


@given(st.binary(min_size=1, max_size=400), st.integers(4, 50), st.randoms(use_true_random=False))
def test_chunks_in_any_order_are_the_message(message: bytes, size: int, order: random.Random) -> None:
    """Duplicates make no difference before the last one came."""
    chunks = chunks_of(message, size)
    order.shuffle(chunks)
    assembling = Chunks()
    whole = [assembling.add("a", chunk, 0.0) for chunk in chunks[:-1] * 2 + chunks[-1:]]
    assert whole[-1] == message
    assert not any(whole[:-1])
    assert len(assembling) == 0
    assert assembling.take_given_up() == 0


def test_senders_with_the_same_message_id_are_kept_apart() -> None:
    """An id is the sender's own."""
    assembling = Chunks()
    (a1, a2), (b1, b2) = chunks_of(b"aaaabbbb", 4), chunks_of(b"ccccdddd", 4)
    assert [assembling.add(s, c, 0) for s, c in (("a", a1), ("b", b1), ("b", b2), ("a", a2))] == [
        None, None, b"ccccdddd", b"aaaabbbb",
    ]  # fmt: skip


def test_a_message_whose_chunks_do_not_come_is_given_up_and_counted() -> None:
    """Five seconds after its first chunk; the others have nothing to go with."""
    assembling = Chunks()
    first, second = chunks_of(b"aaaabbbb", 4)
    assembling.add("a", first, 0.0)
    assembling.expire(gelf.CHUNK_SECS - 0.1)
    assert len(assembling) == 1
    assert assembling.add("a", second, gelf.CHUNK_SECS) is None
    assert assembling.take_given_up() == 1
    assembling.give_up_all()
    assert assembling.take_given_up() == 1


@pytest.mark.parametrize("senders", [1, 5000])
def test_unfinished_messages_are_bounded(senders: int) -> None:
    """For one sender and for all: the oldest go and are counted."""
    assembling = Chunks()
    for i in range(5000):
        name = i.to_bytes(8)
        assembling.add(i % senders, chunks_of(b"x" * 2000, 1000, name)[0], 0.0)
    assert len(assembling) <= (gelf.MAX_OPEN_PER_SENDER if senders == 1 else gelf.MAX_OPEN)
    assert assembling.take_given_up() + len(assembling) == 5000


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40), st.floats(0, 2)), max_size=60))
def test_any_chunk_is_taken_refused_or_counted(arrivals: list[tuple[int, bytes, float]]) -> None:
    """No bytes crash it, and what it holds is what its books say."""
    assembling = Chunks()
    now = 0.0
    for sender, data, later in arrivals:
        now += later
        try:
            assembling.add(sender, CHUNK + data, now)
        except Broken:
            continue
    open_ = len(assembling)
    assembling.take_given_up()
    assembling.give_up_all()
    assert assembling.take_given_up() == open_
    assert assembling._bytes == 0
    assert assembling._of_sender == {}


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
def test_compressed_messages(compress: type[bytes]) -> None:
    """zlib and gzip; cut off or too large they are refused."""
    text = b'{"short_message": "a"}' * 50
    data = bytes(compress(text))
    assert is_compressed(data)
    assert inflate(data, 10_000) == text
    with pytest.raises(Broken, match="too_large"):
        inflate(data, len(text) - 1)
    with pytest.raises(Broken, match="gelf_broken"):
        inflate(data[:-6], 10_000)


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    """A gigabyte of zeros costs no more than the limit."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b"\0" * 10**6) for _ in range(1000)) + packer.flush()
    with pytest.raises(Broken, match="too_large"):
        inflate(bomb, 1024**2)


@given(st.binary(max_size=100))
def test_any_bytes_inflate_or_are_broken(data: bytes) -> None:
    """Nothing else comes of them."""
    for head in (b"", b"\x78\x9c", b"\x1f\x8b\x08"):
        try:
            inflate(head + data, 1000)
        except Broken:
            continue


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            '{"version":"1.1","host":"h","short_message":"m","timestamp":1385053862.3072,"level":1,"_user_id":9001}',
            '{"host":"h","message":"m","timestamp":1385053862.3072,"severity":1,"user_id":9001}',
        ),
        ('{"short_message":"m","_score":1.1099999999999999}', '{"message":"m","score":1.1099999999999999}'),
        ('{"short_message":"m","_message":"own","_host":1,"host":2}',
         '{"message":"m","host":2,"_message":"own","_host":1}'),
        ('{"short_message":"m","level":"INFO"}', '{"message":"m","level":"INFO"}'),
        ('{"short_message":"m","full_message":"long"}', '{"message":"m","full_message":"long"}'),
        (
            '{"short_message":"m","full_message":"Traceback (most recent call last):\\nE"}',
            '{"message":"m","error.stack_trace":"Traceback (most recent call last):\\nE"}',
        ),
        ('{"short_message":"m","line":7,"_pid":1}', '{"message":"m","log.origin.file.line":7,"process.pid":1}'),
        ('{\n"short_message":\n"m",\n"_a": [1,\n2]}', '{"message":"m","a":[1,2]}'),
        ('{"n": 1}', '{"n": 1}'),
    ],
)  # fmt: skip
def test_keys(message: str, line: str) -> None:
    """GELF's names become those we read; values keep their text; a sender's own key never takes another's place."""
    assert read_gelf(message.encode()) == line.encode()


NAMES = st.sampled_from(
    ["version", "host", "short_message", "message", "level", "line", "_line", "_pid", "_", "__", "_a", "a"]
)


@given(st.dictionaries(NAMES, st.integers() | st.text(max_size=5)))
def test_no_value_is_lost(message: dict[str, object]) -> None:
    """Whatever keys a message has, its values are all there."""
    line = read_gelf(json.dumps(message).encode())
    assert line is not None
    known = sorted(map(repr, json.loads(line).values()))
    assert known == sorted(
        repr(v) for k, v in message.items() if (k, v) not in (("version", "1.1"), ("version", "1.0"))
    )
