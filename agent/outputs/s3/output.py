"""The output ``s3``: each batch as one object for each run and each hour of its events, every record exactly once.

How a record comes to be there once, whatever happens:

1. In which folder (dataset and hour) a record belongs depends on the record alone, and an object holds records of one
   run only, whose name it begins with. So wherever a record may be, it is found by listing one folder for one run.
2. An object's name is that of the set of its records (``name``), and is taken once (``If-None-Match``). As long as
   this process lives, what was sent and had no answer is sent again as the same sets: an answer that comes late finds
   the name taken, and so do we. "Taken" means that exactly these records are there.
   (Halves have other names, so a batch must not be halved while a put of it may be on its way. It is not: S3 says at
   the first sending that something is too large, and ``Throttled`` never means it.)
3. An earlier process cut its batches elsewhere. What it may have sent is in doubt (``batch.in_doubt``), and so is what
   had no answer, or was split: the folders are listed for the run, objects whose ids may overlap are read, and what is
   in them is not sent. Names only say where to look; the ids inside decide.
4. Batches in flight at the same time have no record in common, so one's look is not upset by another's put.

S3 shows what it has taken to every look that begins later. What remains is a put that a process sent before it died,
and S3 still carries out while the next process looks: such records could be there twice. Likewise when bucket, prefix
or dataset were changed between two starts, for what was in flight; and where listing or reading is not allowed.
"""

import asyncio
from typing import Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import SendError
from agent.log import Log
from agent.outputs.aws.errors import Denied
from agent.outputs.s3.bucket import Bucket, Objects
from agent.outputs.s3.config import S3Config
from agent.outputs.s3.contents import PARQUET, Unreadable, ids_in
from agent.outputs.s3.name import file_name, hour_folder, name_of, read_name
from agent.outputs.s3.pile import Pile, pile_up

log = Log("outputs.s3")


class S3Output:
    """Sends to a bucket. Batches may be sent at the same time; each takes, beside its frames, what they compress to
    again and one frame's documents (Parquet: the batch's documents several times over)."""

    ordered = False

    def __init__(self, config: S3Config, bucket: Objects | None = None) -> None:
        self.id = config.id or "s3"
        self._config = config
        self._bucket: Objects = bucket or Bucket(config)
        self._denied = False

    async def __aenter__(self) -> Self:
        await self._bucket.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._bucket.__aexit__(*exc)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Make the objects of the batch that are not there. Trouble is a ``SendError``; some of them may be there
        then."""
        compresses = self._config.format != PARQUET
        piles = await asyncio.to_thread(pile_up, batch, compresses)
        dataset = batch.stream.partition("-")[0]
        duplicates = 0
        if batch.in_doubt:
            there = await self._there(dataset, piles, set(batch.ids()))
            if there:
                duplicates = len(there)
                rest = batch.subset(i for i, record in enumerate(batch.ids()) if record not in there)
                piles = await asyncio.to_thread(pile_up, rest, compresses)
        for pile in piles:
            body = await asyncio.to_thread(self._body, pile)
            name = file_name(pile.run, pile.spans, self._config.format)
            if not await self._bucket.put_new(hour_folder(self._config.root, dataset, pile.hour) + name, body):
                duplicates += pile.count
                # The HTTP client asks again by itself when a kept connection breaks: nobody gave an id twice.
                batch.in_doubt = True
        return Outcome(duplicates=duplicates)

    def _body(self, pile: Pile) -> bytes:
        if self._config.format == PARQUET:
            from agent.outputs.s3.parquet import write

            return write(pile.documents())
        return pile.gzip()

    async def _there(self, dataset: str, piles: list[Pile], wanted: set[str]) -> set[str]:
        """Which of the records are in the bucket; none if we may not look."""
        there: set[str] = set()
        try:
            for pile in piles:
                folder = hour_folder(self._config.root, dataset, pile.hour)
                ours = name_of(pile.run, pile.spans)
                async for key in self._bucket.names(f"{folder}{pile.run}-"):
                    name = read_name(key)
                    if name is not None and name.may_share(ours):
                        there |= await self._ids_in(key, wanted)
        except Denied as denied:
            if not self._denied:  # said once
                log.warning(
                    "Records in doubt cannot be looked up, so they may be stored twice: not allowed",
                    output=self.id,
                    needs="s3:ListBucket, s3:GetObject",
                    error=str(denied),
                )
            self._denied = True
        return there

    async def _ids_in(self, key: str, wanted: set[str]) -> set[str]:
        body = await self._bucket.get(key)
        if body is None:  # removed since it was listed
            return set()
        try:
            return await asyncio.to_thread(ids_in, key, body, wanted)
        except Unreadable as error:
            log.warning(
                "An object cannot be read, so records in it may be stored twice",
                output=self.id,
                key=key,
                error=str(error),
            )
            return set()

    async def check(self) -> list[str]:
        """The bucket is there, and we may list and read it. Writes nothing, so it cannot say whether we may write."""
        try:
            await self._bucket.folders(f"{self._config.root}dataset=")
            await self._bucket.get(f"{self._config.root}dataset=")
            if self._config.format == PARQUET:
                await asyncio.to_thread(self._body, Pile("", "", compresses=False))
        except Denied as denied:
            return [f"{self._config.bucket}: {denied}; the output needs s3:PutObject, s3:ListBucket and s3:GetObject."]
        except SendError as error:
            return [f"{self._config.bucket}: {error}"]
        return []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: nothing is refused for what is in it."""
        return None
