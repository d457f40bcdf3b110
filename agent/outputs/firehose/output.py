"""The output ``firehose``: documents, one a line, into the records of a Firehose stream."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import SendError
from agent.outputs.aws.calls import Fate, Packed, fates, in_calls, runs, send_calls
from agent.outputs.aws.client import KeptClient
from agent.outputs.aws.rescue import safe_form
from agent.outputs.firehose.config import FirehoseConfig

MAX_RECORDS: Final = 500
MAX_CALL_BYTES: Final = 4_000_000
"""What one ``PutRecordBatch`` takes: 4 MB, whichever way AWS counts."""
MAX_RECORD_BYTES: Final = 1000 * 1024
MAX_DOCUMENTS: Final = 500
"""More in one record are not taken apart again where Firehose is asked to (dynamic partitioning, a Lambda function)."""


class FirehoseOutput:
    """Sends to one stream, at least once. Everything it holds lives between ``__aenter__`` and ``__aexit__``."""

    ordered = False

    def __init__(self, config: FirehoseConfig) -> None:
        self.id = config.id or "firehose"
        self._config = config
        self._client = KeptClient("firehose", config)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once and classify every record. Trouble with the whole batch is a ``SendError``."""
        packed, too_large = pack(batch.documents(), self._config.record_bytes)
        outcome = await send_calls(in_calls(packed, MAX_RECORDS, MAX_CALL_BYTES), self._put)
        outcome.too_large |= too_large
        return outcome

    async def _put(self, records: list[Packed]) -> list[Fate]:
        """One call."""
        entries = [{"Data": record.data} for record in records]
        name = self._config.stream
        answer = await self._client.ask(
            lambda client: client.put_record_batch(DeliveryStreamName=name, Records=entries)
        )
        return fates(answer.get("RequestResponses"), len(records), "RecordId")

    async def check(self) -> list[str]:
        """The stream is there and takes records from us. Writes nothing."""
        name = self._config.stream
        try:
            answer: dict[str, Any] = await self._client.ask(
                lambda client: client.describe_delivery_stream(DeliveryStreamName=name)
            )
        except SendError as error:
            return [f"the stream {name}: {error}"]
        described = answer.get("DeliveryStreamDescription") or {}
        problems = []
        if described.get("DeliveryStreamStatus") != "ACTIVE":
            problems.append(f"the stream {name} is {described.get('DeliveryStreamStatus')}, not ACTIVE")
        if described.get("DeliveryStreamType") not in (None, "DirectPut"):
            problems.append(
                f"the stream {name} is fed by another service ({described['DeliveryStreamType']}): it takes records "
                "from producers only when its source is Direct PUT"
            )
        return problems

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """The document in a form that only a wrong request can be the reason to refuse; None where it is too large."""
        return safe_form(record, document, reason, max_bytes)


def pack(documents: Sequence[bytes], record_bytes: int) -> tuple[list[Packed], dict[int, str]]:
    """Records of lines, and which documents are too large for one, and why. Pure."""
    packed: list[Packed] = []
    too_large: dict[int, str] = {}
    for run in runs(documents, range(len(documents)), record_bytes, MAX_DOCUMENTS):
        lines = b"".join([documents[i] + b"\n" for i in run])
        if len(lines) <= MAX_RECORD_BYTES:
            packed.append(Packed(run, lines))
        else:
            too_large[run[0]] = f"a line of {len(lines)} bytes, and Firehose takes {MAX_RECORD_BYTES}"
    return packed, too_large
