"""The grace period: how it is divided, and that each part ends whatever the others do."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stopping import Budgets, Ending, Shutdown


@pytest.mark.parametrize(
    ("grace", "inputs", "outputs", "closing", "leaving"),
    [
        (25.0, 10.0, 13.0, 1.5, 0.5),
        (300.0, 120.0, 178.0, 1.5, 0.5),
        (10.0, 4.0, 4.0, 1.5, 0.5),
        (1.0, 0.4, 0.4, 0.15, 0.05),
    ],
)
def test_budgets_of_a_grace_period(grace: float, inputs: float, outputs: float, closing: float, leaving: float) -> None:
    """Inputs have two fifths, closing and leaving what they can need at most, outputs the rest."""
    budgets = Budgets.of(grace)
    assert (budgets.inputs, budgets.outputs) == pytest.approx((inputs, outputs))
    assert (budgets.closing, budgets.leaving) == pytest.approx((closing, leaving))


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_budgets_add_up_to_the_grace_period(grace: float) -> None:
    """Nothing is given twice, and nobody has nothing."""
    budgets = Budgets.of(grace)
    parts = (budgets.inputs, budgets.outputs, budgets.closing, budgets.leaving)
    assert sum(parts) == pytest.approx(grace)
    assert min(parts) > 0


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_with_a_model_most_of_the_time_is_its_own(grace: float) -> None:
    """The parts are still that period, and nobody has nothing."""
    budgets = Budgets.of(grace, with_model=True)
    parts = (budgets.model, budgets.inputs, budgets.outputs, budgets.closing, budgets.leaving)
    assert sum(parts) == pytest.approx(grace)
    assert min(parts) > 0
    assert budgets.model > grace / 2


def test_operations_page_names_the_budgets() -> None:
    """Its table of a stop is that of the code."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    long, short = Budgets.of(100), Budgets.of(10)
    assert f"| {long.inputs:.0f} % of `grace` |" in page
    assert f"| {long.closing + long.leaving:.0f} s before the end" in page
    assert f"({10 * (short.closing + short.leaving):.0f} % of a `grace` below 10 s)" in page
    assert long.leaving == 0.5
    assert "| half a second before the end |" in page


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _nothing() -> None:
    return


def test_time_the_inputs_leave_goes_to_the_outputs() -> None:
    """Inputs that are quiet at once leave the outputs their share as well; who still sends then is cancelled."""

    async def stop() -> float:
        shutdown = Shutdown()
        ending = Ending(shutdown, 0.5)
        quiet, sending = asyncio.create_task(_nothing()), asyncio.create_task(_for_ever())
        shutdown.ask()
        await ending.inputs([quiet])
        await ending.outputs([sending])
        assert sending.cancelled()
        return time.monotonic() - shutdown.began

    budgets = Budgets.of(0.5)
    assert asyncio.run(stop()) >= budgets.inputs + budgets.outputs


def test_input_that_reads_on_is_cancelled_when_its_time_is_over() -> None:
    """It takes nothing from the outputs."""

    async def stop() -> bool:
        shutdown = Shutdown()
        ending = Ending(shutdown, 0.1)
        reading, sending = asyncio.create_task(_for_ever()), asyncio.create_task(_nothing())
        shutdown.ask()
        await ending.inputs([reading])
        await ending.outputs([sending])
        return reading.cancelled() and not sending.cancelled()

    assert asyncio.run(stop())


def test_asking_a_second_time_ends_the_wait() -> None:
    """Long before the grace period is over."""

    async def stop() -> None:
        shutdown = Shutdown()
        ending = Ending(shutdown, 1e6)
        closing = asyncio.create_task(ending.close_by())
        shutdown.ask()
        await asyncio.sleep(0)
        assert not closing.done()
        shutdown.ask()
        await closing

    asyncio.run(stop())


def test_having_nothing_more_to_do_is_no_second_question() -> None:
    """A signal after the agent began to end by itself still lets it drain."""

    async def ask() -> tuple[bool, bool]:
        shutdown = Shutdown()
        shutdown.ask()
        shutdown.begin()
        return shutdown.drain.is_set(), shutdown.now.is_set()

    assert asyncio.run(ask()) == (True, False)
