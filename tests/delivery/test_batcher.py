"""Which frames travel together."""

from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.batcher import Batcher
from agent.queue.frame import Frame, Meta, Part, Stored

frames = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.integers(1, 4)), max_size=30)


def stored(seq: int, stream: str, size: int, count: int) -> Stored:
    """A frame of that size."""
    return Stored(Frame(seq, 0, count, size, 0, 0, Meta("run", stream, [Part(seq, 0, count)]), 0), b"")


@given(frames, st.lists(st.booleans(), min_size=30, max_size=30), st.booleans())
def test_every_frame_comes_out_once_with_its_stream_and_in_its_order(
    given_frames: list[tuple[str, int, int]], takes: list[bool], ordered: bool
) -> None:
    """Within the limits, but for a frame that is too large by itself; in an ordered one in the order of all."""
    batcher, out = Batcher(100, 10, ordered=ordered), []
    for seq, (frame, take) in enumerate(zip(given_frames, takes, strict=False)):
        batcher.add([stored(seq, *frame)])
        while batcher.is_full or (take and not batcher.is_empty):
            out.append(batcher.take())
    while not batcher.is_empty:
        out.append(batcher.take())
    for batch in out:
        assert {frame.stream for frame in batch.frames} == {batch.stream}
        assert len(batch.frames) == 1 or (batch.raw_bytes <= 100 and batch.count <= 10)
    came = [frame.seq for batch in out for frame in batch.frames]
    assert sorted(came) == list(range(len(given_frames)))
    if ordered:
        assert came == sorted(came)
    for stream in "abc":
        of_stream = [frame.seq for batch in out for frame in batch.frames if frame.stream == stream]
        assert of_stream == sorted(of_stream)
    assert batcher.room_bytes == 100


def test_streams_that_take_turns_do_not_make_small_batches_of_each_other() -> None:
    """Where the order of all does not count: a batch is as large as if the other's frames were not there, or half."""
    batcher, sizes = Batcher(100, 1000, ordered=False), []
    for seq in range(40):
        batcher.add([stored(seq, "ab"[seq % 2], 10, 1)])
        while batcher.is_full:
            sizes.append(len(batcher.take().frames))
    assert min(sizes) >= 5


def test_rare_stream_is_not_held_up_by_a_busy_one() -> None:
    """Whose frame is the oldest goes next."""
    batcher = Batcher(100, 1000, ordered=False)
    batcher.add([stored(0, "rare", 1, 1)], now=1.0)
    batcher.add([stored(seq, "busy", 50, 1) for seq in (1, 2)], now=2.0)
    assert batcher.waiting_since == 1.0
    assert batcher.take().stream == "rare"
    assert batcher.waiting_since == 2.0
    assert [frame.seq for frame in batcher.take().frames] == [1, 2]
