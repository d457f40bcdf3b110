"""The other end of an output over plain HTTP: one of the fakes on `Receiver`."""

from pathlib import Path
from typing import Self

from tests.contract.destinations.destination import Destination
from tests.fakes.receiver import Receiver, hangs_up, refuses


class ReceiverDestination(Destination):
    """A fake in this process, which loses answers and throttles as every HTTP server may."""

    def __init__(self, folder: Path, server: Receiver) -> None:
        super().__init__(folder)
        self.server = server

    async def __aenter__(self) -> Self:
        """Start the server, empty."""
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End it."""
        await self.server.__aexit__(None, None, None)

    async def received(self) -> list[str]:
        """The ids of the records that are there, repeats included."""
        return [record for record, _ in self.server.records]

    async def documents(self) -> dict[str, bytes]:
        """The documents that are there, by id."""
        return dict(self.server.records)

    async def go_away(self) -> None:
        """Nobody listens any more."""
        await self.server.go_away()

    async def come_back(self) -> None:
        """Listen again at the same address."""
        await self.server.come_back()

    def lose_answer(self) -> None:
        """The next request is carried out, and its answer does not arrive."""
        self.server.faults.append(hangs_up(taken=True))

    def throttle(self, requests: int) -> None:
        """The next requests are answered 429."""
        self.server.faults += [refuses(429, "too much")] * requests

    def poison(self, record: str) -> None:
        """Refuse this record from now on."""
        self.server.poisoned.add(record)
