"""The scripted adversary: whatever an Elasticsearch does to our requests, every record ends in one place.

The real queue, delivery loop, output and HTTP run against the fake, which plays a random script of faults; when the
script is over all goes well. Then every record is exactly once in the data stream over all its backing indices, or in
the failure store, or in the dead-letter store with a reason; never in two of them, never in none.

``MODELTAIL_SOAK=1`` plays twenty times as many scripts.
"""

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.world import IMPATIENT_SECS, MAX_BODY_BYTES, NAME, Plan, Trouble, World, play

SOAK = 20 if os.environ.get("MODELTAIL_SOAK") else 1


def _trouble(name: str, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Trouble]:
    return st.builds(Trouble, st.just(name), st.fixed_dictionaries(given))


INDEXES = st.integers(0, 3)
NOT_NOW = st.sampled_from([403, 404, 429, 500, 503])
# What leaves open how much was taken, so that some of it may have been.
unknown = st.one_of(
    _trouble("refuses", status=st.sampled_from([400, 413, 500, 502, 503]), reason=st.just("no")),
    _trouble("hangs_up", taken=st.booleans(), half_answered=st.booleans()),
    _trouble("restarts", taken=st.booleans()),
    _trouble("says_nothing", taken=st.booleans()),
)
whole = st.one_of(
    unknown,
    _trouble("refuses", status=st.sampled_from([401, 403, 404, 415, 429]), reason=st.just("no")),
    _trouble("refuses", status=st.sampled_from([429, 503]), retry_after=st.sampled_from(["0", "1", "3600", "soon"])),
    _trouble("refuses", status=st.sampled_from([301, 302, 307]), location=st.just("http://127.0.0.1:1/")),
    _trouble(
        "answers", status=st.sampled_from([200, 502]), body=st.sampled_from([b"<html>welcome</html>", b"", b"{}"])
    ),
)
by_item = st.one_of(
    _trouble("fails_items", items=st.dictionaries(INDEXES, st.sampled_from([400, 413]) | NOT_NOW, min_size=1)),
    _trouble("fails_items_it_took", items=st.dictionaries(INDEXES, st.sampled_from([500, 503]), min_size=1)),
    _trouble("reorders_items", items=st.dictionaries(INDEXES, NOT_NOW), seed=st.integers(0, 3)),
    _trouble("forgets_item"),
)
while_sending = _trouble(
    "hangs_up_while_reading",
    after_bytes=st.sampled_from([0, 100, 5000]),
    status=st.none() | st.just(413),
)
slow = st.one_of(
    _trouble("drips", pause_secs=st.just(0.001)),
    _trouble("drips", pause_secs=st.just(IMPATIENT_SECS / 5)),
    _trouble("calls_it", content_type=st.sampled_from(["text/html", "text/plain"])),
)
rollover = st.builds(
    Trouble,
    st.just("rolls_over"),
    st.fixed_dictionaries({"taken_before": st.sampled_from([0.0, 0.5, 1.0])}),
    st.none() | unknown,
)
failure_store = _trouble("stores_failures", indexes=st.sets(INDEXES, min_size=1))
SIZES = st.sampled_from([60, 60, 60, 700, 3000, 25_000, -60, -700])


def plans(trouble: st.SearchStrategy[Trouble], sizes: st.SearchStrategy[int] = SIZES) -> st.SearchStrategy[Plan]:
    """Plans with this kind of trouble."""
    return st.builds(
        Plan,
        batches=st.lists(st.lists(sizes, min_size=2, max_size=12), min_size=1, max_size=4),
        batch_records=st.sampled_from([1000, 5, 1]),
        max_concurrency=st.integers(1, 4),
        too_large=st.sampled_from(["dead_letter", "truncate"]),
        script=st.lists(trouble, max_size=12),
    )


@settings(max_examples=120 * SOAK)
@given(plans(st.one_of(whole, by_item, by_item, while_sending, slow, rollover, rollover, failure_store)))
def test_every_record_is_in_one_place_whatever_the_server_does(plan: Plan) -> None:
    """Nothing lost, nothing doubled, the ledger adds up, the cap is kept, and nothing is asked without end."""

    async def story(world: World) -> None:
        ledger = await world.run(plan.batches, plan.script)
        world.assert_each_record_is_in_one_place()
        assert ledger is not None
        assert ledger.balances
        fates = ledger.outputs["es"].fates
        assert sum(fates.values()) == len(world.accepted)
        assert fates.get("dead_lettered", 0) == len(world.dead_letters())
        assert world.most_at_once <= plan.max_concurrency
        if not any(trouble.needs_timeout for trouble in plan.script):
            assert len(world.server.bulks) <= _most_requests(plan)

    play(plan, story)


def _most_requests(plan: Plan) -> int:
    """How many bulk requests may come of a plan. Each record may have to be sent alone for its size, then refused and
    sent rescued, then cut; and so again after each fault, which itself costs at most what halving costs."""
    records = sum(map(len, plan.batches))
    return 4 * records + 2 * len(plan.batches) + 8 * len(plan.script)


# A dead letter is durable before the cursor that says so: a death in between writes it again, or delivers the record
# after all. So nothing here makes one that would not be made every time.
forgiving = (whole | while_sending).filter(lambda trouble: trouble.given.get("status") != 413)
confirmed_late = _trouble("fails_items_it_took", items=st.dictionaries(INDEXES, st.just(503)))


@settings(max_examples=40 * SOAK)
@given(
    plans(forgiving | confirmed_late, SIZES.filter(lambda size: size < MAX_BODY_BYTES)),
    st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=3),
)
def test_every_record_is_in_one_place_over_restarts(plan: Plan, ends: list[tuple[int, bool]]) -> None:
    """The agent ends in the middle of it, again and again, without draining or even with the cursor it last wrote, and
    the stream rolls over before it is back: what it did not finish is sent again, and is there once."""

    async def story(world: World) -> None:
        share = len(plan.script) // (len(ends) + 1)
        for i, (end, is_killed) in enumerate(ends):
            script = plan.script[i * share : (i + 1) * share]
            await world.run(plan.batches[i::3], script, ends_after=end, is_killed=is_killed)
            world.server.rollover(NAME)
        ledger = await world.run([[60]], plan.script[len(ends) * share :])
        world.assert_each_record_is_in_one_place()
        assert ledger is not None
        assert ledger.balances

    play(plan, story)
