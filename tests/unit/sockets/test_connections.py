"""Connections: limits, back-pressure, resets, TLS; and socket files."""

import asyncio
import os
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from agent.inputs.listen import TlsOptions
from agent.inputs.tcp.config import TcpConfig
from agent.inputs.tcp.input import TcpInput
from agent.inputs.unix.config import UnixConfig
from agent.inputs.unix.input import UnixInput
from tests.fakes.certificates import Certificates, make_certificates
from tests.unit.sockets.reading import Taken, reading, run


def tcp(**settings: object) -> TcpInput:
    """A tcp input on a free port."""
    return TcpInput(TcpConfig(**({"id": "in", "listen": "127.0.0.1:0", "linger": 0.0} | settings)))  # type: ignore[arg-type]


def connected(taken: Taken) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(("127.0.0.1", taken.port))


@pytest.mark.parametrize("reset", [False, True])
def test_an_unfinished_line_is_kept(*, reset: bool) -> None:
    """At the end of a connection it is a line; torn off by a reset it is marked."""

    async def scenario() -> None:
        async with reading(tcp()) as taken:
            client = connected(taken)
            client.sendall(b"whole\nunfini")
            await taken.wait_for(lambda: taken.lines)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            await taken.wait_for(lambda: len(taken.lines) == 2)
        assert taken.lines == [b"whole", b"unfini"]
        assert taken.facts()[1].get("labels.truncated") == ("connection" if reset else None)

    run(scenario)


def test_a_writer_waits_while_the_queue_does() -> None:
    """Reading stops at the buffer's bound and the kernel's fill up; then every line arrives, once and in order."""
    lines = [b"%07d" % i for i in range(2_000_000)]
    written = 0

    async def scenario() -> None:
        async with reading(tcp(buffer=65536)) as taken:
            taken.full = True
            client = connected(taken)
            client.setblocking(False)
            loop = asyncio.get_running_loop()

            async def write() -> None:
                nonlocal written
                for i in range(0, len(lines), 1000):
                    await loop.sock_sendall(client, b"\n".join(lines[i : i + 1000]) + b"\n")
                    written += 1
                client.close()

            writing = asyncio.create_task(write())
            seen = -1
            while written != seen:
                seen = written
                for _ in range(200):
                    await asyncio.sleep(0.001)
            assert not writing.done()
            taken.full = False
            await writing
            await taken.wait_for(lambda: taken.accepted == len(lines))
        assert taken.lines == lines

    run(scenario)


def test_connections_beyond_the_limit_wait() -> None:
    """They are accepted when another ends; nothing they wrote is lost."""

    async def scenario() -> None:
        async with reading(tcp(max_connections=1)) as taken:
            with connected(taken) as first, connected(taken) as second:
                second.sendall(b"second\n")
                first.sendall(b"first\n")
                await taken.wait_for(lambda: taken.lines)
                assert taken.lines == [b"first"]
                first.close()
                await taken.wait_for(lambda: len(taken.lines) == 2)

    run(scenario)


def test_unfinished_lines_of_all_connections_are_bounded() -> None:
    """Who goes beyond the bound has the line cut and marked; the next line is whole again."""

    async def scenario() -> None:
        async with reading(tcp(buffer=65536, max_line=65536)) as taken:
            clients = [connected(taken) for _ in range(8)]
            for client in clients:
                client.sendall(b"x" * 20_000)
            await taken.wait_for(lambda: taken.lines)
            for client in clients:
                client.sendall(b"y\nnext\n")
            await taken.wait_for(lambda: taken.lines.count(b"next") == 8)
            for client in clients:
                client.close()
        cut = [known for known in taken.facts() if known.get("labels.truncated") == "line"]
        assert 1 <= len(cut) < 8
        assert len(taken.lines) == 16

    run(scenario)


def test_an_idle_connection_is_closed_when_asked_for() -> None:
    """The client sees the end; what it had written is kept."""

    async def scenario() -> None:
        async with reading(tcp(idle_timeout=0.05)) as taken:
            client = connected(taken)
            client.setblocking(False)
            client.sendall(b"line\n")
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(30):
                with suppress(ConnectionResetError):
                    assert await loop.sock_recv(client, 1) == b""
            client.close()
            await taken.wait_for(lambda: taken.lines)
        assert taken.lines == [b"line"]

    run(scenario)


def test_stop_reads_what_is_there() -> None:
    """Of open connections, and of those not yet accepted."""

    async def scenario() -> None:
        async with reading(tcp()) as taken:
            clients = [connected(taken) for _ in range(20)]
            for i, client in enumerate(clients):
                client.sendall(b"%d\n" % i * 1000)
            taken.stop.ask()
        for client in clients:
            client.close()
        assert sorted(taken.lines) == sorted([b"%d" % i for i in range(20)] * 1000)

    run(scenario)


def test_activity_follows_the_connections() -> None:
    """Unseen until something came, busy while somebody is connected, idle after."""

    async def scenario() -> None:
        input_ = tcp()
        async with reading(input_) as taken:
            assert await input_.activity(0) == "unseen"
            client = connected(taken)
            client.sendall(b"line\n")
            await taken.wait_for(lambda: taken.lines)
            assert await input_.activity(0) == "busy"
            client.close()
            while await input_.activity(0) != "idle":
                await asyncio.sleep(0.001)

    run(scenario)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and a certificate that serves for both ends."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


def over_tls(taken: Taken, certificates: Certificates, *, presents: bool) -> None:
    """Write a line, and wait for the other end to close."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if presents:
        context.load_cert_chain(certificates.chain, certificates.key)
    with connected(taken) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        client.settimeout(30)
        client.sendall(b"19 <14>1 - h a - - - x")
        if presents:
            client.unwrap()
        else:
            client.recv(1)


def test_tls_with_client_certificates(certificates: Certificates) -> None:
    """Who presents one is heard, who has none is refused, and plain text is no handshake."""
    options = TlsOptions(
        certificate=str(certificates.chain), key=str(certificates.key), client_ca=str(certificates.authority)
    )

    async def scenario() -> None:
        async with reading(tcp(tls=options)) as taken:
            with suppress(ssl.SSLError, ConnectionError):  # or it sees an end
                await asyncio.to_thread(over_tls, taken, certificates, presents=False)
            with connected(taken) as plain:
                plain.sendall(b"plain text\n")
                await asyncio.to_thread(plain.recv, 100)
            await asyncio.to_thread(over_tls, taken, certificates, presents=True)
            await taken.wait_for(lambda: taken.lines)
        assert taken.lines == [b"x"]

    run(scenario)


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_socket_files(tmp_path: Path, kind: str) -> None:
    """Of both kinds; who connected is known of connections; the file is gone in the end."""
    path = tmp_path / "log.sock"
    config = UnixConfig(id="in", listen=f"unix:{path}", kind=kind, sender=kind == "stream", mode="0600")  # type: ignore[arg-type]

    async def scenario() -> None:
        async with reading(UnixInput(config)) as taken:
            assert path.stat().st_mode & 0o777 == 0o600
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as client:
                client.connect(str(path))
                client.sendall(b"<13>Nov 23 12:00:00 root: hello\n")
                await taken.wait_for(lambda: taken.lines)
        assert taken.lines == [b"hello"]
        (facts,) = taken.facts()
        assert facts["process.name"] == "root"
        if kind == "stream":
            assert facts["user.id"] == str(os.getuid())
            assert facts["process.pid"] == os.getpid()
        assert not path.exists()

    run(scenario)


def test_a_datagram_larger_than_the_room_is_cut_and_marked(tmp_path: Path) -> None:
    """The kernel keeps no rest of it."""
    config = UnixConfig(id="in", listen=f"unix:{tmp_path}/s", kind="datagram", max_datagram=1024, linger=0)

    async def scenario() -> None:
        async with reading(UnixInput(config)) as taken:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.connect(f"{tmp_path}/s")
                client.send(b"x" * 2000)
                client.send(b"short")
                await taken.wait_for(lambda: len(taken.lines) == 2)
        assert taken.lines == [b"x" * 1024, b"short"]
        assert [known.get("labels.truncated") for known in taken.facts()] == ["datagram", None]

    run(scenario)
