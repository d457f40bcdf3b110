"""The ``http`` input: JSON objects or plain lines, posted."""

from collections.abc import Iterator, Sequence

import msgspec

from agent.inputs.http.answers import Answer, Refusal, Refused
from agent.inputs.http.config import HttpConfig
from agent.inputs.http.dialect import Exchange, Headers
from agent.inputs.http.formats import cuts_of, fitting, gathered
from agent.inputs.http.media import Media, media_of
from agent.inputs.http.receiver import Receiver
from agent.inputs.http.recognise import RECOGNISERS, Recogniser
from agent.inputs.lines import Cut


class HttpInput(Receiver):
    """Listens until asked to stop."""

    def __init__(self, config: HttpConfig) -> None:
        filtered = bool(config.include_lines or config.exclude_lines)
        refuse_all = config.on_bad_line == "refuse_all"
        super().__init__(config, PlainDialect(config.path, refuse_all, config.max_line, check=refuse_all or filtered))


class PlainDialect:
    """``POST`` of records as they are; answers are JSON: ``{"accepted": 3}``, with ``refused`` and ``errors`` where
    some were not taken, and ``{"error": …}`` where nothing was. ``check``: whether something is refused is to be known
    before a line goes anywhere."""

    def __init__(
        self,
        path: str,
        all_or_nothing: bool,
        max_line: int,
        recognisers: Sequence[Recogniser] = RECOGNISERS,
        *,
        check: bool = True,
    ) -> None:
        self.path = path
        self.all_or_nothing = all_or_nothing
        self._max_line = max_line
        self._recognisers = recognisers
        self._check = check

    def meet(self, headers: Headers) -> Exchange:
        """Raises ``Refusal`` for a kind of body that is not read here."""
        for recogniser in self._recognisers:
            if recogniser.claims(headers):
                return _Events(recogniser, headers, self._max_line)
        return _Records(media_of(headers), self._max_line, self._check)

    def refuse(self, headers: Headers, refusal: Refusal) -> Answer:
        """The reason as JSON."""
        return _json({"error": refusal.reason}, refusal.status)


class _Answers:
    def answer(self, accepted: int, refused: Refused) -> Answer:
        if not refused.count:
            return Answer(200, b'{"accepted":%d}' % accepted)
        errors = [{"line": number, "error": reason} for number, reason in refused.first]
        return _json({"accepted": accepted, "refused": refused.count, "errors": errors}, 400)


class _Records(_Answers):
    def __init__(self, media: Media, max_line: int, check: bool) -> None:
        self._media = media
        self._max_line = max_line
        self._check = check

    def cuts(self, body: bytes, refused: Refused) -> Iterator[Cut]:
        return cuts_of(body, self._media, self._max_line, refused, check=self._check)


class _Events(_Answers):
    def __init__(self, recogniser: Recogniser, headers: Headers, max_line: int) -> None:
        self._recogniser = recogniser
        self._headers = headers
        self._max_line = max_line

    def cuts(self, body: bytes, refused: Refused) -> Iterator[Cut]:
        lines = self._recogniser.lines(self._headers, body)
        return gathered(fitting(enumerate(lines, start=1), self._max_line, refused))


def _json(body: object, status: int) -> Answer:
    return Answer(status, msgspec.json.encode(body))
