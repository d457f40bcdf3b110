"""A file of documents, one a line."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agent.delivery.contract import Output
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.ndjson.output import NdjsonOutput
from tests.contract.destinations.destination import Destination


class Event(msgspec.Struct):
    """What of a document says which record it is."""

    id: str


class Identified(msgspec.Struct):
    """A document, as far as it says which record it is."""

    event: Event


class NdjsonFile(Destination):
    """A file in a folder that is a symbolic link. When it points to something that is no folder, nobody is there; it
    is turned in one step, or a file could be begun in between that hides the first."""

    loses_answers = False  # a write is told at once; only a crash in between repeats, which the run's end plays
    throttles = False  # a file takes what comes

    async def __aenter__(self) -> "NdjsonFile":
        self._place = self.folder / "place"
        self._path = self._place / "out.ndjson"
        (self.folder / "disk").mkdir()
        (self.folder / "nothing").touch()
        await self.come_back()
        return self

    def output(self, **settings: Any) -> Output:
        return NdjsonOutput(NdjsonConfig(id="it", path=self._path, **settings))

    async def received(self) -> list[str]:
        return [record for record, _ in self._lines()]

    async def documents(self) -> dict[str, bytes]:
        return dict(self._lines())

    async def go_away(self) -> None:
        self._turn_to("nothing")

    async def come_back(self) -> None:
        self._turn_to("disk")

    def _turn_to(self, name: str) -> None:
        turned = self.folder / "turned"
        turned.symlink_to(self.folder / name)
        turned.rename(self._place)

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        path = self.folder / "disk" / "out.ndjson"
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            yield msgspec.json.decode(line, type=Identified).event.id, line
