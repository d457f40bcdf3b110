"""What collectors are known to lose records by, each as a claim about this one: the real queue, loop, output and HTTP
against the fake."""

from collections.abc import Callable

import pytest

from tests.delivery.world import NAME, Plan, Trouble, World, play

FIVE = [[60, 60, 60, 60, 60]]


def _delivered(plan: Plan, before: Callable[[World], None] = lambda world: None) -> tuple[World, dict[str, int]]:
    """The world after all records of a plan have a fate, and how many have which."""
    seen: list[tuple[World, dict[str, int]]] = []

    async def story(world: World) -> None:
        before(world)
        ledger = await world.run(plan.batches, plan.script)
        world.assert_each_record_is_in_one_place()
        assert ledger is not None
        assert ledger.balances
        seen.append((world, ledger.outputs["es"].fates))

    play(plan, story)
    return seen[0]


def test_a_success_that_holds_refused_items_drops_nothing() -> None:
    """A bulk request is answered 200 though some of its items are answered 429. Who looks at the 200 alone drops them;
    who retries the whole batch sends the others for nothing."""
    world, fates = _delivered(Plan(FIVE, script=[Trouble("fails_items", {"items": {1: 429, 3: 429}})]))
    assert fates == {"delivered": 5}
    assert [len(bulk.operations) for bulk in world.server.bulks] == [5, 2]


def test_a_server_that_is_down_for_long_costs_no_record() -> None:
    """With a queue and with retries, records were still dropped while the server was down, for one of several layers
    gave up. Here one layer decides, and it does not."""
    down = [
        Trouble("refuses", {"status": 503}),
        Trouble("restarts", {"taken": False}),
        Trouble("hangs_up", {"taken": False}),
    ]
    _, fates = _delivered(Plan([[60]] * 20, batch_records=1, script=down * 30))
    assert fates == {"delivered": 20}


def test_batches_in_retry_hold_their_slots_so_that_memory_is_bounded() -> None:
    """Batches that were retried outside the limit piled up until memory was gone. Here nothing more is read from the
    queue than there are slots for."""
    world, fates = _delivered(
        Plan([[60]] * 40, batch_records=1, max_concurrency=2, script=[Trouble("refuses", {"status": 503})] * 60)
    )
    assert fates == {"delivered": 40}
    assert world.most_at_once <= 2


@pytest.mark.parametrize(("policy", "fate"), [("dead_letter", "dead_lettered"), ("truncate", "rescued")])
def test_a_request_too_large_is_split_and_ends(policy: str, fate: str) -> None:
    """A 413 was retried for ever, or the whole batch was dropped. Here the batch is halved, and the one record that
    alone is too large is kept whole or delivered in part, and does not hold up the others."""
    huge = [60, 2_000_000, 60]
    _, fates = _delivered(Plan([[300_000] * 4, huge], too_large=policy, max_body=700_000))
    assert fates == {"delivered": 6, fate: 1}


def test_a_mapping_conflict_loses_no_record() -> None:
    """A record whose field has another type than the index has was lost, for it is refused whenever it is sent. Here it
    arrives as one string, under its own id, with the reason."""
    world, fates = _delivered(Plan([[60, -60, 60]]))
    assert fates == {"delivered": 2, "rescued": 1}
    stored = dict(world.server.documents(NAME))[world.accepted[1]]
    assert b'"rescued":"refused"' in stored
    assert b'\\"no\\":\\"time\\"' in stored


def test_a_rescued_record_does_not_fail_in_the_same_pipeline_again() -> None:
    """Records set aside were sent through the ingest pipeline that had refused them, and were refused again. Here they
    go around it."""

    def before(world: World) -> None:
        world.server.pipelines = frozenset({"strict"})
        world.server.failing_pipelines.add("strict")

    world, fates = _delivered(Plan(FIVE, pipeline="strict"), before)
    assert fates == {"rescued": 5}
    assert [bulk.query["pipeline"] for bulk in world.server.bulks] == ["strict", "_none"]
