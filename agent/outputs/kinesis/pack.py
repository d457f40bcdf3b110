"""Documents into Kinesis records: which share one, in which form, under which partition key. Pure."""

from collections.abc import Callable, Sequence
from typing import Literal

from agent.outputs.aws.calls import Packed, runs
from agent.outputs.gzip import gzipped
from agent.outputs.kinesis.aggregate import aggregated
from agent.outputs.kinesis.keys import key_of, random_key

Aggregation = Literal["gzip", "kpl", "none"]


class Packer:
    """How documents are packed. ``record_bytes`` is how much of them shares a record, before compression."""

    def __init__(self, aggregation: Aggregation, record_bytes: int, partition_key: str) -> None:
        self._form: Callable[[Sequence[bytes], str], bytes] = _FORMS[aggregation]
        self._record_bytes = record_bytes if aggregation != "none" else 0
        self._key_of = key_of(partition_key)

    def pack(self, documents: Sequence[bytes], max_bytes: int) -> tuple[list[Packed], dict[int, str]]:
        """Records of at most ``max_bytes`` each, key included; and which documents are too large for one, and why."""
        packed: list[Packed] = []
        too_large: dict[int, str] = {}
        for key, indexes in self._by_key(documents).items():
            waiting = list(runs(documents, indexes, self._record_bytes))[::-1]
            while waiting:
                run = waiting.pop()
                chosen = key or random_key()
                record = Packed(run, self._form([documents[i] for i in run], chosen), chosen)
                if record.size <= max_bytes:
                    packed.append(record)
                elif len(run) > 1:
                    middle = len(run) // 2
                    waiting += (run[middle:], run[:middle])
                else:
                    too_large[run[0]] = (
                        f"a record of {record.size} bytes with its key, and the stream takes {max_bytes} bytes"
                    )
        return packed, too_large

    def _by_key(self, documents: Sequence[bytes]) -> dict[str, Sequence[int]]:
        """The documents of each key, in order; those without one are under the empty key."""
        if self._key_of is None:
            return {"": range(len(documents))}
        by_key: dict[str, list[int]] = {}
        for i, document in enumerate(documents):
            by_key.setdefault(self._key_of(document), []).append(i)
        return dict(by_key)


def _lines(documents: Sequence[bytes], key: str) -> bytes:
    return gzipped(b"\n".join((*documents, b"")))


def _alone(documents: Sequence[bytes], key: str) -> bytes:
    return documents[0]


_FORMS = {"gzip": _lines, "kpl": aggregated, "none": _alone}
