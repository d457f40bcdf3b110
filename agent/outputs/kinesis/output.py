"""The output ``kinesis``: documents into the records of a stream, with a fate for each."""

from types import TracebackType
from typing import Any, Final, Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Paused, Refused, SendError, Throttled, TooLarge
from agent.log import Log
from agent.outputs.aws.calls import Fate, Packed, fates, in_calls, send_calls
from agent.outputs.aws.client import KeptClient
from agent.outputs.aws.rescue import safe_form
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.kinesis.pack import Packer

MAX_RECORDS: Final = 500
MAX_CALL_BYTES: Final = 10 * 1024**2
"""What one ``PutRecords`` takes, partition keys included."""
DEFAULT_MAX_RECORD_BYTES: Final = 1024**2
"""What a record may be, key included, unless the stream was told otherwise (``UpdateMaxRecordSize``)."""

_log = Log("outputs.kinesis")


class KinesisOutput:
    """Sends to one stream, at least once. Everything it holds lives between ``__aenter__`` and ``__aexit__``."""

    ordered = False

    def __init__(self, config: KinesisConfig) -> None:
        self.id = config.id or "kinesis"
        self._config = config
        self._client = KeptClient("kinesis", config)
        self._stream = {"StreamARN" if config.stream.startswith("arn:") else "StreamName": config.stream}
        self._packer = Packer(config.aggregation, config.record_bytes, config.partition_key)
        self._max_record_bytes: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once and classify every record. Trouble with the whole batch is a ``SendError``."""
        limit = self._max_record_bytes
        if limit is None:
            try:
                limit = await self._read_limit()
            except Throttled:  # too many look at their streams just now; for most records the default will do
                limit = self._max_record_bytes = DEFAULT_MAX_RECORD_BYTES
        packed, too_large = self._packer.pack(batch.documents(), limit)
        # Before a document is given up the stream is asked once more, and must answer.
        if too_large and (raised := await self._read_limit()) > limit:
            packed, too_large = self._packer.pack(batch.documents(), raised)
        try:
            outcome = await send_calls(in_calls(packed, MAX_RECORDS, MAX_CALL_BYTES), self._put)
        except (Paused, Refused, TooLarge):
            self._max_record_bytes = None  # perhaps it is not what it was
            raise
        outcome.too_large |= too_large
        return outcome

    async def _put(self, records: list[Packed]) -> list[Fate]:
        """One call."""
        entries = [{"Data": record.data, "PartitionKey": record.key} for record in records]
        answer = await self._client.ask(lambda client: client.put_records(Records=entries, **self._stream))
        return fates(answer.get("Records"), len(records), "SequenceNumber")

    async def _read_limit(self) -> int:
        """How many bytes a record of the stream may have. Who may not ask, or is not understood, is told the default.
        Raises ``Retryable``."""
        limit = DEFAULT_MAX_RECORD_BYTES
        try:
            kib = (await self._describe()).get("MaxRecordSizeInKiB")
            limit = kib * 1024 if isinstance(kib, int) and kib > 0 else limit
        except (Paused, Refused, TooLarge) as error:
            _log.debug("The stream's largest record cannot be asked for", output=self.id, error=str(error))
        self._max_record_bytes = limit
        return limit

    async def _describe(self) -> dict[str, Any]:
        answer = await self._client.ask(lambda client: client.describe_stream_summary(**self._stream))
        summary: dict[str, Any] = answer.get("StreamDescriptionSummary") or {}
        return summary

    async def check(self) -> list[str]:
        """The stream is there, and can be written to as far as one may look. Writes nothing."""
        try:
            summary = await self._describe()
        except SendError as error:
            return [f"the stream {self._config.stream}: {error}"]
        status = summary.get("StreamStatus")
        if status not in ("ACTIVE", "UPDATING"):
            return [f"the stream {self._config.stream} is {status}, not ACTIVE"]
        return []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """The document in a form that only a wrong request can be the reason to refuse; None where it is too large."""
        return safe_form(record, document, reason, max_bytes)
