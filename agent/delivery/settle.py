"""Giving every record of one batch a fate: delivered, rescued, or to be dead-lettered.

A batch that is refused whole is halved until the culprit is alone; records refused one by one are tried once more in
the form nothing can refuse; records too large by themselves are met by policy. What is left to do is a list of parts,
not a chain of calls, so that trouble may last for days.

    a part            was sent                        has more than one record      is a single record
    TooLarge          in any form                     is halved                     by policy: truncated, or dead
    Refused           as it is                        is halved                     is rescued
    Refused           rescued                         is halved                     the request itself is wrong: hold
    item refused      as it is                        the record is rescued
    item refused      rescued                         the record is dead
    item too large    in any form                     by policy: truncated, or dead
    item "not now"    in any form                     sent again after a back-off
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.delivery.sender import Sender
from agent.errors import Paused, Refused, TooLarge
from agent.log import Log
from agent.queue.subscription import Subscription

RESCUED = "rescued"

TRUNCATED_BYTES: Final = 256 * 1024
"""So much of a record that is too large is delivered when it is truncated. Even with every quote in it escaped, the
request stays below the smallest limit in common use, 1 MiB."""

MANY_RECORDS: Final = 64
"""Parts larger than this that were refused are halved in the order of their size, so that what is good in a batch
arrives before its culprits are looked for one by one: an output may believe a server only that took something."""

_log = Log("delivery")


class Dead(msgspec.Struct):
    """A record refused for good: why, and at which attempt."""

    reason: str
    attempts: int


class Fates(msgspec.Struct):
    """What became of the records of a batch, by index; one in neither was delivered as it is."""

    rescued: set[int] = set()
    dead: dict[int, Dead] = {}


class _Form(Enum):
    AS_IT_IS = 0
    RESCUED = 1
    TRUNCATED = 2


class _Part(msgspec.Struct):
    """Records still to be sent: ``places`` are their indexes in the whole batch. Those that are not as they were have
    the reason beside them."""

    batch: DeliveryBatch
    places: Sequence[int]
    form: _Form = _Form.AS_IT_IS
    reasons: list[str] = []
    is_repeat: bool = False

    def subset(self, indexes: Sequence[int]) -> "_Part":
        """The part of these records."""
        reasons = [self.reasons[i] for i in indexes] if self.reasons else []
        return _Part(self.batch.subset(indexes), [self.places[i] for i in indexes], self.form, reasons)

    def halves(self) -> "tuple[_Part, _Part]":
        """Two parts."""
        middle = self.batch.count // 2
        return self.subset(range(middle)), self.subset(range(middle, self.batch.count))


class Settling:
    """The settling of one batch. ``run`` once."""

    def __init__(
        self, batch: DeliveryBatch, output: Output, sender: Sender, subscription: Subscription, config: DeliveryConfig
    ) -> None:
        self._batch = batch
        self._output = output
        self._sender = sender
        self._subscription = subscription
        self._config = config
        self._fates = Fates()
        self._parts: deque[_Part] = deque([_Part(batch, range(batch.count))])

    async def run(self) -> Fates:
        """The fate of every record, however long it takes. Raises ``GaveUp`` when stopping."""
        while self._parts:
            part = self._parts.popleft()
            batch = part.batch
            if batch.count > 1 and batch.raw_bytes > 2 * self._config.batch_bytes and not batch.cursor_after:
                self._parts.extendleft(reversed(part.halves()))
                continue
            if part.is_repeat:
                await self._sender.back_off(batch.attempt)
            try:
                outcome = await self._sender.send(batch)
            except (TooLarge, Refused) as refusal:
                await self._refused_whole(part, refusal)
            else:
                self._answered(part, outcome)
        return self._fates

    async def _refused_whole(self, part: _Part, refusal: TooLarge | Refused) -> None:
        # Elasticsearch 9 may work on a long request while the rest still comes in: what stood first may be there.
        part.batch.in_doubt = True
        part.batch.attempt += 1
        if part.batch.count > MANY_RECORDS and isinstance(refusal, Refused):
            self._parts.extend(part.halves())
        elif part.batch.count > 1:
            self._parts.extendleft(reversed(part.halves()))
        elif isinstance(refusal, TooLarge):
            self._too_large(part, {0: str(refusal)})
        elif part.form is _Form.AS_IT_IS:
            self._rescue(part, {0: str(refusal)})
        else:
            # No document can be at fault: this one was made to be taken. So the record is not to blame either, and
            # nothing else of the batch is worth trying before a person has acted.
            self._fates.rescued.discard(part.places[0])
            again = _Part(self._batch.subset(part.places), part.places)
            again.batch.attempt, again.batch.in_doubt = part.batch.attempt, part.batch.in_doubt
            await self._sender.hold(Paused(f"every request is refused, whatever is in it: {refusal}"), again.batch)
            self._parts.appendleft(again)

    def _answered(self, part: _Part, outcome: Outcome) -> None:
        batch = part.batch
        self._subscription.note(
            {
                "duplicates": outcome.duplicates,
                "failure_store": outcome.failure_store,
                "refused_unnamed": outcome.refused_unnamed,
            }
        )
        self._look_for_repeats(batch, outcome)
        if outcome.rejected and part.form is _Form.AS_IT_IS:
            self._rescue(part, outcome.rejected)
        else:
            self._give_up(part, outcome.rejected)
        self._too_large(part, outcome.too_large)
        if part.form is _Form.TRUNCATED:
            self._tell_truncated(batch.count - len(outcome.rejected) - len(outcome.too_large) - len(outcome.retry))
        if outcome.retry:
            self._subscription.note({"retried": len(outcome.retry)})
            rest = part.subset(outcome.retry)
            rest.batch.attempt += 1
            rest.batch.in_doubt |= outcome.in_doubt
            rest.batch.hints = batch.hints  # more than none only when all of the batch was refused
            rest.is_repeat = True
            self._parts.append(rest)

    def _rescue(self, part: _Part, refused: dict[int, str]) -> None:
        """Have refused records sent in a form nothing can refuse."""
        self._send_as(_Form.RESCUED, part, refused)

    def _too_large(self, part: _Part, refused: dict[int, str]) -> None:
        """Have records that are too large by themselves sent in part, if that is the policy."""
        if self._config.too_large == "truncate" and part.form is not _Form.TRUNCATED:
            self._send_as(_Form.TRUNCATED, part, refused)
        else:
            self._give_up(part, refused)

    def _send_as(self, form: _Form, part: _Part, refused: dict[int, str]) -> None:
        max_bytes = TRUNCATED_BYTES if form is _Form.TRUNCATED else None
        ids, documents = self._batch.ids(), self._batch.documents()
        places, reasons, safe = [], [], []
        for i, said in refused.items():
            place = part.places[i]
            reason = _both(part, i, said)
            document = self._output.rescue(ids[place], documents[place], reason, max_bytes)
            if document is None:
                self._fates.dead[place] = Dead(reason, part.batch.attempt)
            else:
                places.append(place)
                reasons.append(reason)
                safe.append(document)
        if places:
            batch = DeliveryBatch.of_documents(self._batch.stream, [ids[place] for place in places], safe)
            batch.attempt, batch.in_doubt, batch.is_rescued = part.batch.attempt + 1, part.batch.in_doubt, True
            self._fates.rescued.update(places)
            self._parts.appendleft(_Part(batch, places, form, reasons))

    def _give_up(self, part: _Part, refused: dict[int, str]) -> None:
        for i, said in refused.items():
            self._fates.rescued.discard(part.places[i])
            self._fates.dead[part.places[i]] = Dead(_both(part, i, said), part.batch.attempt)

    def _tell_truncated(self, records: int) -> None:
        if records:
            _log.error("Records too large for the other end were delivered cut short",
                       output=self._output.id, records=records, kept_bytes=TRUNCATED_BYTES)  # fmt: skip
            self._subscription.note({"truncated": records})

    def _look_for_repeats(self, batch: DeliveryBatch, outcome: Outcome) -> None:
        """A repeat of what was never sent before means that an id was given twice: never to be passed over silently."""
        if outcome.duplicates and batch.frames and batch.attempt == 1 and not batch.in_doubt:
            _log.error(
                "Records were there already at their first sending", output=self._output.id, records=outcome.duplicates
            )
            self._subscription.note({"unexpected_duplicates": outcome.duplicates})


def _both(part: _Part, i: int, said: str) -> str:
    """Why a record was refused, in all the forms it was sent in."""
    if not part.reasons:
        return said
    name = "rescued" if part.form is _Form.RESCUED else "truncated"
    return f"{part.reasons[i]}; and as a {name} record: {said}"
