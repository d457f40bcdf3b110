"""Sends documents to Elasticsearch, each by ``create`` under its id, and once more those that an earlier answer leaves
open: a document that is there already is answered 409.

That holds within one backing index. A document that was sent before its data stream rolled over would be created again
in the new one. So those that were made before the newest backing index are looked up in the older ones first
(``rollover``).
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import urllib3

from . import rollover
from .api_key import NoKey
from .bulk import FILTER_PATH, Fate, Item, NoAnswer, body, read_answer, read_refusal, requests
from .document import Document
from .result import Taken
from .unit import Bad, Unit

PAUSES_SECS = (0.2, 1.0, 3.0)
"""How long to wait before what must come again is sent again in the same invocation. What is left after that is for
the next one."""

CONNECT_SECS = 5.0
LEAST_SECS = 1.0
"""A request is given at least so long, however little is left of the invocation."""
ANSWER_SECS = 2.0
"""How much before its end an invocation stops to wait for an answer: it must still say what is done."""

_BULK_HEADERS = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
_JSON_HEADERS = {"content-type": "application/json"}


class _Sent(NamedTuple):
    """A document and the position of its unit."""

    unit: int
    document: Document


class Index:
    """The data streams of one Elasticsearch at ``url``. ``authorization`` gives the header that every request carries,
    or raises ``NoKey``; it is asked again after a 401, when the key may have been changed."""

    name = "elasticsearch"

    def __init__(
        self,
        url: str,
        authorization: Callable[[], str | None],
        *,
        max_bytes: int,
        timeout_secs: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._authorization = authorization
        self._headers: dict[str, str] | None = None
        self._no_key: NoKey | None = None
        self._max_bytes = max_bytes
        self._timeout_secs = timeout_secs
        self._pause = pause
        self._pool = urllib3.PoolManager(retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def take(self, units: Sequence[Unit], deadline: float) -> Taken:
        """Send all documents, and say of each what became of it. ``deadline`` is on the monotonic clock."""
        taken = Taken()
        self._no_key = None
        streams: dict[str, list[_Sent]] = {}
        for i, unit in enumerate(units):
            for document in unit.documents:
                streams.setdefault(document.stream, []).append(_Sent(i, document))
        for stream, sent in streams.items():
            left = self._round(stream, sent, units, taken, deadline)
            for pause in PAUSES_SECS:
                if not left or self._no_key or deadline - time.monotonic() < pause + self._timeout_secs:
                    break
                self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing
                left = self._round(stream, [each for each, _ in left], units, taken, deadline)
            for each, reason in left:
                taken.failed.setdefault(each.unit, reason)
        return taken

    def _round(
        self,
        stream: str,
        sent: Sequence[_Sent],
        units: Sequence[Unit],
        taken: Taken,
        deadline: float,
    ) -> list[tuple[_Sent, str]]:
        """Send documents of one data stream once. What must come again, with the reason."""
        documents = [each.document for each in sent]
        left = []
        for each, item in zip(sent, self._send(stream, documents, deadline), strict=True):
            match item.fate:
                case Fate.STORED:
                    taken.stored += 1
                case Fate.DUPLICATE:
                    taken.duplicates += 1
                case Fate.REFUSED:
                    reason = f"Elasticsearch refused it: {item.reason}"
                    taken.refused.append((each.unit, Bad(units[each.unit].arrival, reason, each.document.text)))
                case Fate.COME_AGAIN:
                    left.append((each, item.reason))
        return left

    def _send(self, stream: str, documents: Sequence[Document], deadline: float) -> list[Item]:
        """The fate of each document. Trouble with the whole is the fate of each."""
        try:
            there = self._in_older_indices(stream, documents, deadline)
            new = [document for document in documents if document.id not in there]
            fates = [item for some in requests(new, self._max_bytes) for item in self._post(stream, some, deadline)]
        except (NoAnswer, NoKey, urllib3.exceptions.HTTPError) as error:
            return [Item(Fate.COME_AGAIN, str(error))] * len(documents)
        found = iter(fates)
        return [Item(Fate.DUPLICATE) if document.id in there else next(found) for document in documents]

    def _post(self, stream: str, documents: Sequence[Document], deadline: float) -> list[Item]:
        """One bulk request; in halves when it is too large."""
        target = f"/{stream}/_bulk?require_data_stream=true&filter_path={FILTER_PATH}"
        status, answer = self._ask("POST", target, body(documents), _BULK_HEADERS, deadline)
        if status == 413 and len(documents) > 1:
            middle = len(documents) // 2
            halves = (documents[:middle], documents[middle:])
            return [item for half in halves for item in self._post(stream, half, deadline)]
        if status == 413:
            return [Item(Fate.REFUSED, "it is larger than a request may be")]
        if status != 200:
            raise NoAnswer(read_refusal(answer, status))
        return read_answer(answer, documents)

    def _in_older_indices(self, stream: str, documents: Sequence[Document], deadline: float) -> set[str]:
        """The ids that lie in a backing index which is no longer written to."""
        status, answer = self._ask("GET", rollover.settings_target(stream), None, {}, deadline)
        if status == 404:
            return set()
        if status != 200:
            raise NoAnswer(f"the backing indices of {stream} cannot be listed: {read_refusal(answer, status)}")
        there: set[str] = set()
        try:
            for index, candidates in rollover.to_look_up(answer, documents).items():
                question = rollover.lookup_body(candidates)
                target = rollover.lookup_target(index)
                status, found = self._ask("POST", target, question, _JSON_HEADERS, deadline)
                if status not in (200, 404):  # 404: retention has just removed the index
                    raise NoAnswer(f"documents cannot be looked up in {index}: {read_refusal(found, status)}")
                there |= rollover.read_found(found) if status == 200 else set()
        except ValueError as error:
            raise NoAnswer(str(error)) from error
        return there

    def _ask(
        self,
        method: str,
        target: str,
        content: bytes | None,
        headers: dict[str, str],
        deadline: float,
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ``urllib3``'s errors when there is none, and ``NoKey``."""
        own_headers = self._own_headers()
        timeout = urllib3.Timeout(
            connect=CONNECT_SECS,
            read=max(LEAST_SECS, min(self._timeout_secs, deadline - time.monotonic() - ANSWER_SECS)),
        )
        answer = self._pool.request(
            method, self._url + target, body=content, headers={**own_headers, **headers}, timeout=timeout
        )
        if answer.status == 401:
            self._headers = None
        return answer.status, answer.data

    def _own_headers(self) -> dict[str, str]:
        """What every request carries. Where there was no key once, none is asked for again before the next ``take``:
        the client has tried often enough, and the time is short."""
        if self._no_key is not None:
            raise self._no_key
        if self._headers is None:
            try:
                authorization = self._authorization()
            except NoKey as error:
                self._no_key = error
                raise
            self._headers = {} if authorization is None else {"authorization": authorization}
        return self._headers
