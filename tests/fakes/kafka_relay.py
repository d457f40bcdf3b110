"""What stands between a producer and a real Kafka, and does harm to what passes: it knows requests that append records
from others by the key in their header (``ApiKeys.PRODUCE`` is 0), and their answers by the correlation id."""

import asyncio
import contextlib
import ssl
import struct
from typing import Final, Self

_PRODUCE: Final = 0
_SIZE: Final = struct.Struct(">i")
_NO_TOPICS: Final = bytes(8)  # an empty array, and a throttle time of 0
_HEADER: Final = struct.Struct(">hhi")


class KafkaRelay:
    """Listens at ``port`` and passes everything on to ``target``. An async context manager.

    ``lose_answers`` is how many answers to come the producer does not get: the connection breaks instead;
    ``hollow_answers`` how many speak of no partition. With ``swallow`` set, requests that append are neither passed on
    nor answered; ``swallowed`` tells when the first came. While ``reads`` is clear, nothing is read from the producer.
    ``appends`` counts the requests passed on. With ``tls`` it listens like that.
    """

    def __init__(self, port: int, target: int) -> None:
        self.tls: ssl.SSLContext | None = None
        self.lose_answers = 0
        self.hollow_answers = 0
        self.swallow = False
        self.swallowed = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.appends = 0
        self._port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.go_away()

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port, ssl=self.tls)

    async def all_gone(self) -> None:
        """Wait until every producer has left and all it sent is passed on."""
        while self._passing:
            await asyncio.wait(set(self._passing))

    async def go_away(self) -> None:
        """Break every connection and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._ends:
            end.transport.abort()
        if self._passing:
            await asyncio.wait(set(self._passing))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        ends = {writer}
        self._ends.add(writer)
        try:
            answers, broker = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(broker)
            self._ends.add(broker)
            lost: set[int] = set()
            hollow: set[int] = set()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, broker, lost, hollow))
                both.create_task(self._answers(answers, writer, lost, hollow))
        except* (OSError, EOFError):
            pass
        finally:
            self._passing.discard(task)
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter, lost: set[int], hollow: set[int]
    ) -> None:
        while True:
            await self.reads.wait()
            request = await _frame(reader)
            key, _, correlation = _HEADER.unpack_from(request)
            if key == _PRODUCE:
                if self.swallow:
                    self.swallowed.set()
                    continue
                self.appends += 1
                if self.lose_answers:
                    self.lose_answers -= 1
                    lost.add(correlation)
                elif self.hollow_answers:
                    self.hollow_answers -= 1
                    hollow.add(correlation)
            broker.write(_SIZE.pack(len(request)) + request)
            await broker.drain()

    async def _answers(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: set[int], hollow: set[int]
    ) -> None:
        while True:
            answer = await _frame(answers)
            (correlation,) = _SIZE.unpack_from(answer)
            if correlation in lost:
                raise EOFError
            if correlation in hollow:
                answer = answer[: _SIZE.size] + _NO_TOPICS
            writer.write(_SIZE.pack(len(answer)) + answer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
    return await reader.readexactly(size)
