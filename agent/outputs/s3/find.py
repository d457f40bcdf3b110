"""Records in a bucket by the time of their events, and by who wrote them."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import msgspec

from agent.outputs.s3.bucket import Objects
from agent.outputs.s3.contents import Known, Unreadable, documents_in, known
from agent.outputs.s3.name import dataset_folder, day_folder, read_hour


class Wanted(msgspec.Struct, frozen=True):
    """Events from ``since`` to ``until``, both included and with a zone; of all datasets and models unless named."""

    since: datetime
    until: datetime
    dataset: str | None = None
    model: str | None = None

    @property
    def hours(self) -> tuple[str, str]:
        """The first and the last, in UTC, as folders have them."""
        first, last = (moment.astimezone(UTC) for moment in (self.since, self.until))
        return f"{first:%Y-%m-%dT%H}", f"{last:%Y-%m-%dT%H}"

    def picks(self, said: Known) -> bool:
        """Whether a document is asked for. One whose time cannot be read is, if its hour is: too many is better than
        too few."""
        if self.model is not None and said.ml.model.name != self.model:
            return False
        try:
            moment = datetime.fromisoformat(said.timestamp or "")
        except ValueError:
            return True
        return moment.tzinfo is None or self.since <= moment <= self.until


class Found(msgspec.Struct):
    """A document and what it says."""

    dataset: str
    document: bytes
    said: Known

    @property
    def stream(self) -> str:
        """The data stream it belongs to."""
        return f"{self.dataset}-{self.said.data_stream.namespace or 'default'}"


class Search:
    """One search: ``objects`` were read so far, ``unreadable`` of them were not what they should be."""

    def __init__(self, bucket: Objects, root: str, wanted: Wanted, tell: Callable[[str], None]) -> None:
        self.objects = 0
        self.unreadable = 0
        self._bucket = bucket
        self._root = root
        self._wanted = wanted
        self._tell = tell

    async def run(self) -> AsyncIterator[Found]:
        """Dataset by dataset, hour by hour; within an hour in the order of the objects' names. One object is held at a
        time. Raises a ``SendError``."""
        for dataset in await self._datasets():
            async for key in self._keys(dataset):
                body = await self._bucket.get(key)
                if body is None:  # removed since it was listed
                    continue
                self.objects += 1
                try:
                    for document in documents_in(key, body):
                        said = known(document)
                        if self._wanted.picks(said):
                            yield Found(dataset, document, said)
                except Unreadable as error:
                    self.unreadable += 1
                    self._tell(f"{key} cannot be read in full: {error}")

    async def _datasets(self) -> list[str]:
        if self._wanted.dataset is not None:
            return [self._wanted.dataset]
        before = dataset_folder(self._root, "").removesuffix("/")
        folders = await self._bucket.folders(before)
        return sorted(folder.removeprefix(before).removesuffix("/") for folder in folders)

    async def _keys(self, dataset: str) -> AsyncIterator[str]:
        first, last = self._wanted.hours
        day, end = self._wanted.since.astimezone(UTC).date(), self._wanted.until.astimezone(UTC).date()
        while day <= end:
            async for key in self._bucket.names(day_folder(self._root, dataset, f"{day:%Y-%m-%d}")):
                hour = read_hour(key)
                if hour is not None and first <= hour <= last:
                    yield key
            day += timedelta(days=1)
