"""Datagrams: nothing is lost without being counted, whatever the kernel does."""

import asyncio
import socket
import zlib

import pytest

from agent.inputs.udp.config import UdpConfig
from agent.inputs.udp.input import UdpInput
from tests.unit.sockets.reading import Taken, reading, run


def udp(**settings: object) -> UdpInput:
    """A udp input on a free port."""
    return UdpInput(UdpConfig(**({"id": "in", "listen": "127.0.0.1:0", "linger": 0.0} | settings)))  # type: ignore[arg-type]


def send(taken: Taken, *datagrams: bytes) -> None:
    """Send these from one socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", taken.port))
        for datagram in datagrams:
            sender.send(datagram)


FLOOD = 20_000


def test_sent_is_accepted_while_the_reader_stands_still() -> None:
    """The event loop does not run while a small receive buffer is flooded; every datagram is a line or a counted drop,
    the last ones too."""

    async def scenario() -> None:
        async with reading(udp(receive_buffer=8192)) as taken:
            send(taken, *(b"%d" % i for i in range(FLOOD)))
        assert taken.accepted == FLOOD
        assert 0 < taken.dropped("kernel") == FLOOD - len(taken.lines)
        assert taken.lines == [b"%d" % i for i in range(len(taken.lines))]

    run(scenario)


def test_sent_is_accepted_while_the_queue_is_slow() -> None:
    """The bounded buffer fills, reading stops, the kernel drops: the sum is exact, and memory was bounded."""

    async def scenario() -> None:
        async with reading(udp(receive_buffer=65536, buffer=65536)) as taken:
            taken.full = True
            for i in range(200):
                send(taken, *(b"%d" % (i * 100 + j) for j in range(100)))
                await asyncio.sleep(0)
        assert taken.accepted == FLOOD
        assert taken.dropped("kernel") == FLOOD - len(taken.lines) > 0

    run(scenario)


def test_after_stop_the_kernel_refuses() -> None:
    """What is sent before the stop is read to its end; a sender that comes later is told."""

    async def scenario() -> None:
        async with reading(udp()) as taken:
            send(taken, *[b"x"] * 1000)
            taken.stop.ask()
        assert taken.lines == [b"x"] * 1000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.connect(("127.0.0.1", taken.port))
            late.send(b"late")
            with pytest.raises(ConnectionRefusedError):
                late.send(b"late")

    run(scenario)


def test_formats_are_told_apart() -> None:
    """Lines, syslog and GELF on one port, each read as what it is; JSON inside syslog is JSON."""
    gelf = b'{"version":"1.1","short_message":"hello","level":3}'

    async def scenario() -> None:
        async with reading(udp(sender=True)) as taken:
            send(taken, b'{"n":1}\n{"n":2}\n', b'<11>1 - h a 7 - - {"n":3}', gelf, zlib.compress(gelf), b"text", b"")
            await taken.wait_for(lambda: len(taken.lines) == 7)
        line = b'{"message":"hello","severity":3}'
        assert taken.lines == [b'{"n":1}', b'{"n":2}', b'{"n":3}', line, line, b"text", b""]
        facts = taken.facts()
        assert facts[2]["log.level"] == "error"
        assert facts[2]["process.pid"] == 7
        assert {known["source.ip"] for known in facts} == {"127.0.0.1"}
        assert len({known["source.port"] for known in facts}) == 1
        assert not taken.batches[0].blocks

    run(scenario)


def test_chunks_are_put_together_and_the_unfinished_counted() -> None:
    """A message of two chunks arrives; one of which a chunk is missing is a counted drop, at the latest at the end."""

    async def scenario() -> None:
        async with reading(udp(format="gelf")) as taken:
            head = b"\x1e\x0f12345678"
            send(
                taken,
                head + b'\x01\x02:"m"}',
                head + b'\x00\x02{"short_message"',
                b"\x1e\x0fabcdefgh\x00\x02{",
                b"\x1e\x0fbad",
            )
            await taken.wait_for(lambda: taken.lines)
        assert taken.lines == [b'{"message":"m"}']
        assert taken.accepted == 3
        assert taken.dropped("gelf_incomplete") == 1
        assert taken.dropped("gelf_broken") == 1

    run(scenario)


def test_a_bomb_is_counted() -> None:
    """A small datagram that unfolds to more than a line may be is dropped under its reason."""

    async def scenario() -> None:
        async with reading(udp(max_line=65536)) as taken:
            send(taken, zlib.compress(b'{"short_message":"' + b"x" * 10**6 + b'"}'))
            await taken.wait_for(lambda: taken.accepted)
        assert taken.dropped("too_large") == taken.accepted == 1

    run(scenario)


def test_long_lines_are_cut_and_line_ends_inside_messages_kept() -> None:
    """The limit holds for syslog too; a message of several lines is one record, and an object never breaks a line."""

    async def scenario() -> None:
        async with reading(udp(max_line=64)) as taken:
            send(taken, b"<14>" + b"x" * 100, b"<14>one\ntwo", b'<14>{"a":\n1}', b"y" * 65)
            await taken.wait_for(lambda: len(taken.lines) == 4)
        assert taken.lines == [b"x" * 64, b"one\ntwo", b'{"a":1}', b"y" * 64]
        assert [known.get("labels.truncated") for known in taken.facts()] == ["line", None, None, "line"]
        assert any(batch.blocks for batch in taken.batches)

    run(scenario)
