"""The output `logstash` by lines of JSON over TCP: what it promises, which is little."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
import uvloop

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, Retryable
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.lines import LogstashTcpOutput
from tests.fakes.batches import batch_of, document
from tests.fakes.certificates import make_certificates

TEST_SECS = 30.0
LARGE = batch_of([document(i, text="x" * 1024**2) for i in range(32)])
"""More than the buffers on the way hold."""


class Listener:
    """Takes lines from each connection, as long as it ``reads``."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        place = len(self.texts)
        self.texts.append(b"")
        self.writers.append(writer)
        with suppress(ConnectionError):
            await self.reads.wait()
            while data := await reader.read(1024**2):
                self.texts[place] += data
        writer.transport.abort()


Story = Callable[[LogstashTcpOutput, Listener], Awaitable[None]]


def play(story: Story, *, presents: SSLContext | None = None, **settings: Any) -> Listener:
    """Let a story happen between an output and a listener; what was sent is there afterwards."""

    @asynccontextmanager
    async def listening() -> Any:
        listener = Listener()
        server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=presents)
        try:
            yield listener, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            listener.reads.set()
            while len(asyncio.all_tasks()) > 1:  # every connection is read to its end
                await asyncio.sleep(0.01)

    async def main() -> Listener:
        async with asyncio.timeout(TEST_SECS), listening() as (listener, host):
            config = LogstashConfig(id="it", protocol="tcp", hosts=[host], **settings)
            async with LogstashTcpOutput(config) as output:
                await story(output, listener)
        assert isinstance(listener, Listener)
        return listener

    return asyncio.run(main())


def test_documents_are_lines_over_one_connection() -> None:
    """Byte for byte, batch behind batch."""
    batches = [batch_of([document(i) for i in range(count)]) for count in (1, 500, 3)]

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        assert list(await asyncio.gather(*map(output.send, batches))) == [Outcome()] * 3

    (text,) = play(story).texts
    assert sorted(text.split(b"\n")) == sorted([b"", *(d for batch in batches for d in batch.documents())])


def test_tls_is_spoken_where_it_is_asked_for(tmp_path: Path) -> None:
    """And what the server presents is verified."""
    certificates = make_certificates(tmp_path)
    batch = batch_of([document(1)])

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        assert await output.send(batch) == Outcome()

    async def distrust(output: LogstashTcpOutput, listener: Listener) -> None:
        with pytest.raises(Paused, match="certificate"):
            await output.send(batch)

    context = certificates.server_context()
    (text,) = play(story, presents=context, tls=True, ca_file=str(certificates.authority)).texts
    assert text == document(1) + b"\n"
    assert play(distrust, presents=context, tls=True).texts == []


@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_reader_that_stops_is_back_pressure(
    run: Callable[..., Listener], has_tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The send lasts until everything is taken; TLS does not swallow it meanwhile. So with the agent's own event loop,
    too."""
    monkeypatch.setattr(asyncio, "run", run)
    secure: dict[str, Any] = {}
    if has_tls:
        certificates = make_certificates(tmp_path)
        presents = certificates.server_context()
        secure = {"presents": presents, "tls": True, "ca_file": str(certificates.authority)}

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        listener.reads.clear()
        sending = asyncio.create_task(output.send(LARGE))
        await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()
        listener.reads.set()
        assert await sending == Outcome()

    (text,) = play(story, **secure).texts
    assert text.split(b"\n")[:-1] == LARGE.documents()


def test_lines_of_batches_sent_at_once_do_not_mix() -> None:
    """Each is large enough to be written in many pieces."""
    batches = [batch_of([document(10 * i + j, text="x" * 2 * 1024**2) for j in range(3)]) for i in range(3)]

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        assert list(await asyncio.gather(*map(output.send, batches))) == [Outcome()] * 3

    (text,) = play(story).texts
    assert sorted(text.split(b"\n")[:-1]) == sorted(d for batch in batches for d in batch.documents())


def test_reader_that_takes_nothing_is_given_up() -> None:
    """The batch is in doubt, and goes over a new connection: nothing follows a line cut short."""

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        listener.reads.clear()
        with pytest.raises(NoAnswer, match="not taken within"):
            await output.send(LARGE)
        assert await output.send(batch_of([document(1)])) == Outcome()
        listener.reads.set()

    texts = play(story, request_timeout=0.2).texts
    assert texts[1] == document(1) + b"\n"


def test_cancelled_batch_is_not_followed_by_another() -> None:
    """Its last line may be half a line."""

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        listener.reads.clear()
        sending = asyncio.create_task(output.send(LARGE))
        await asyncio.wait([sending], timeout=0.2)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await output.send(batch_of([document(1)])) == Outcome()
        listener.reads.set()

    texts = play(story).texts
    assert texts[1] == document(1) + b"\n"


def test_connection_that_breaks_leaves_the_batch_in_doubt() -> None:
    """Some of it may have been read."""

    async def story(output: LogstashTcpOutput, listener: Listener) -> None:
        listener.reads.clear()
        sending = asyncio.create_task(output.send(LARGE))
        while not listener.writers:
            await asyncio.sleep(0)
        listener.writers[0].transport.abort()
        with pytest.raises(NoAnswer, match="broke"):
            await sending

    play(story)


def test_nobody_there_is_retryable_and_said_by_check() -> None:
    """Nothing was sent."""

    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        async with LogstashTcpOutput(LogstashConfig(id="it", protocol="tcp", hosts=[host])) as output:
            with pytest.raises(Retryable) as caught:
                await output.send(batch_of([document(1)]))
            assert type(caught.value) is Retryable
            assert await output.check() == [str(caught.value)]

    asyncio.run(main())
