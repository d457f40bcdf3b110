"""Reading answers: the quick look agrees with the thorough one, and nothing from outside is unbounded."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Retryable, SendError
from agent.outputs.elasticsearch.answer import MAX_PART_CHARS, read_answer, refusal
from agent.outputs.http_client.refusal import MAX_RETRY_AFTER_SECS

IDS = [f"id-{n}" for n in range(8)]
ITEMS = st.sampled_from(
    [
        {"status": 201},
        {"status": 200},
        {"failure_store": "used", "status": 201},
        {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "there"}},
        {"status": 429, "error": {"type": "x", "reason": '{"create":{"_id":"1","status":201}}'}},
        {"status": 400, "error": {"type": "x", "reason": "y", "caused_by": {"reason": "z"}}},
        {"status": 503},
    ]
)


def _answer(*items: Mapping[str, object], ids: list[str] = IDS) -> bytes:
    """The answer of a bulk request, as Elasticsearch spells it. Without enough ``ids`` the last items have none."""
    named = [{"_id": ids[i], **item} if i < len(ids) else item for i, item in enumerate(items)]
    answer = {"errors": any(item != {"status": 201} for item in items), "items": [{"create": item} for item in named]}
    return json.dumps(answer, separators=(",", ":")).encode()


@given(st.lists(ITEMS, max_size=8), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_the_quick_look_sees_what_decoding_sees(items: list[dict[str, object]], separators: tuple[str, str]) -> None:
    """However the answer is spelled, each record's outcome is that of its item."""
    errors = any("error" in item for item in items)
    answer = {"errors": errors, "items": [{"create": {"_id": i, **item}} for i, item in zip(IDS, items, strict=False)]}
    body = json.dumps(answer, separators=separators).encode()
    outcome = read_answer(200, {}, body, len(items), lambda: IDS[: len(items)])
    assert outcome.duplicates == sum(item["status"] == 409 for item in items)
    assert outcome.failure_store == sum("failure_store" in item for item in items)
    assert outcome.retry == [i for i, item in enumerate(items) if item["status"] in (429, 503)]
    assert outcome.rejected == {i: "x: y: z" for i, item in enumerate(items) if item["status"] == 400}


def test_a_clean_answer_for_fewer_records_is_noticed() -> None:
    """Every item is good, but there are not as many as were sent."""
    body = _answer({"status": 201}, {"status": 201})
    assert read_answer(200, {}, body, 2, lambda: IDS[:2]) == Outcome()
    with pytest.raises(NoAnswer, match="2 records, 3 were sent"):
        read_answer(200, {}, body, 3, lambda: IDS[:3])


@given(st.lists(ITEMS, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_an_answer_in_another_order_is_no_answer(items: list[dict[str, object]], random: Random) -> None:
    """Unless all were created, a record must not get its neighbour's outcome: items out of place are noticed."""
    order = list(range(len(items)))
    random.shuffle(order)
    body = _answer(*(items[i] for i in order), ids=[IDS[i] for i in order])
    all_created = all(item == {"status": 201} for item in items)
    if order == sorted(order) or all_created:
        read_answer(200, {}, body, len(items), lambda: IDS[: len(items)])
    else:
        with pytest.raises(NoAnswer, match="in another order"):
            read_answer(200, {}, body, len(items), lambda: IDS[: len(items)])


def test_an_answer_about_other_records_is_no_answer() -> None:
    """As many items as records, but with the id of a stranger, or with none."""
    conflict = {"status": 409}
    for ids in (["id-0", "stranger"], ["id-0"]):
        with pytest.raises(NoAnswer, match="other records"):
            read_answer(200, {}, _answer(conflict, conflict, ids=ids), 2, lambda: IDS[:2])


def test_a_server_doubts_only_what_it_may_have_done() -> None:
    """After a 5xx the record may be there all the same; a 429 was refused before anything was done."""
    for status, in_doubt in ((429, False), (500, True), (503, True)):
        outcome = read_answer(200, {}, _answer({"status": status}), 1, lambda: IDS[:1])
        assert (outcome.retry, outcome.in_doubt) == ([0], in_doubt)


def test_a_cluster_that_blocks_writing_is_not_overloaded() -> None:
    """A full disk makes the server say 429 to every record for hours: no sign that a record is too large."""
    for kind, overloaded in (("es_rejected_execution_exception", True), ("cluster_block_exception", False)):
        outcome = read_answer(200, {}, _answer({"status": 429, "error": {"type": kind}}), 1, lambda: IDS[:1])
        assert (outcome.retry, outcome.overloaded) == ([0], overloaded)


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=20))
def test_no_answer_surprises(status: int, body: bytes, retry_after: str) -> None:
    """Whatever comes back is an outcome or one of the errors delivery knows."""
    with suppress(SendError):
        assert isinstance(read_answer(status, {"retry-after": retry_after}, body, 1, lambda: IDS[:1]), Outcome)


def test_a_reason_with_half_a_surrogate_pair_is_read() -> None:
    """Elasticsearch quotes what it refuses, halves of surrogate pairs included; that must not hide the answer."""
    body = (
        b'{"errors":true,"items":[{"create":{"_id":"id-0","status":201}},'
        b'{"create":{"_id":"id-1","status":400,"error":{"reason":"a\\ud800b"}}}]}'
    )
    assert read_answer(200, {}, body, 2, lambda: IDS[:2]) == Outcome(rejected={1: "a?b"})


def test_reasons_are_one_bounded_line() -> None:
    """A reason that quotes a whole document is cut, its line breaks are gone, and the cause behind it stays."""
    body = json.dumps({"error": {"type": "t", "reason": "a\n" * 5000, "caused_by": {"reason": "why"}}}).encode()
    said = str(refusal(400, {}, body))
    assert len(said) == len("t: ") + MAX_PART_CHARS + len(": why")
    assert said.endswith("…: why")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999999", MAX_RETRY_AFTER_SECS),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("٧", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
        (format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0.0),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), MAX_RETRY_AFTER_SECS),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    """Both forms of RFC 9110 are read, bounded; anything else is as if it were not there."""
    error = refusal(429, {"retry-after": text}, b"")
    assert isinstance(error, Retryable)
    assert error.retry_after_secs == expected
