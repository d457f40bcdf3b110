"""The embedded store."""

from typing import Any

import msgspec

from agent.delivery.contract import Output
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from agent.outputs.local.reader import START, Span, find, newest
from agent.query.language import Query
from tests.contract.destinations.destination import Destination
from tests.contract.destinations.ndjson import Identified


class LocalStore(Destination):
    """A folder of SQLite files. What a full or broken disk does to it is in ``test_local.py``."""

    recognises = True
    loses_answers = False  # the position is stored with the records: there is no answer to lose
    throttles = False  # it takes what comes
    goes_away = False  # it is in the agent's own process

    def output(self, **settings: Any) -> Output:
        return LocalOutput(LocalConfig(id="it", path=self._path, **settings))

    async def received(self) -> list[str]:
        return [msgspec.json.decode(document, type=Identified).event.id for document in self._found()]

    async def documents(self) -> dict[str, bytes]:
        return {msgspec.json.decode(document, type=Identified).event.id: document for document in self._found()}

    @property
    def _path(self) -> Any:
        return self.folder / "store"

    def _found(self) -> list[bytes]:
        skipped: list[str] = []
        span = Span(START, newest(self._path))
        found = find(self._path, Query(), span, newest_first=False, skipped=lambda path, why: skipped.append(why))
        documents = [each.document for each in found]
        assert skipped == []
        return documents
