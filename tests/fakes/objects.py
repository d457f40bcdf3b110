"""A bucket in memory that behaves as S3 does, and misbehaves by plan."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal, Self

from agent.errors import NoAnswer, Throttled
from agent.outputs.aws.errors import Denied

Fault = Literal["none", "refused", "lost", "late", "dies before", "dies after"]
"""What becomes of one request: all is well; it is not taken, and says so; it is taken, or will be taken after some more
requests, and the answer is lost; the agent dies before it is taken, or after."""

LATE_REQUESTS = 3


class Death(BaseException):
    """The agent dies here."""


class FakeObjects:
    """What is there is in ``objects``; each request takes the next of ``faults``."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: deque[Fault] = deque()
        self.requests = 0
        self.puts = 0
        self.may_list = True
        self._late: list[tuple[int, str, bytes]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.settle()

    def settle(self) -> None:
        """What is still on its way arrives."""
        for _, key, body in self._late:
            self.objects.setdefault(key, body)
        self._late.clear()

    async def put_new(self, key: str, body: bytes) -> bool:
        """Taken only when there is none of that name."""
        fault = await self._begin()
        self.puts += 1
        if fault == "late":
            self._late.append((self.requests + LATE_REQUESTS, key, body))
            raise NoAnswer("no answer in time")
        is_new = key not in self.objects
        self.objects.setdefault(key, body)
        self._end(fault)
        return is_new

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """In order."""
        fault = await self._begin()
        if not self.may_list:
            raise Denied("not allowed by AWS: AccessDenied")
        found = sorted(key for key in self.objects if key.startswith(prefix))
        self._end("lost" if fault == "late" else fault)
        for key in found:
            yield key

    async def folders(self, prefix: str) -> list[str]:
        """Those there are."""
        keys = [key async for key in self.names(prefix)]
        return sorted({prefix + key[len(prefix) :].partition("/")[0] + "/" for key in keys})

    async def get(self, key: str) -> bytes | None:
        """As it was put."""
        fault = await self._begin()
        self._end("lost" if fault == "late" else fault)
        return self.objects.get(key)

    async def _begin(self) -> Fault:
        self.requests += 1
        due = [entry for entry in self._late if entry[0] <= self.requests]
        for entry in due:
            self._late.remove(entry)
            self.objects.setdefault(entry[1], entry[2])
        fault = self.faults.popleft() if self.faults else "none"
        await asyncio.sleep(0)
        if fault == "refused":
            raise Throttled("SlowDown")
        if fault == "dies before":
            raise Death
        return fault

    def _end(self, fault: Fault) -> None:
        if fault == "dies after":
            raise Death
        if fault == "lost":
            raise NoAnswer("the connection broke")
