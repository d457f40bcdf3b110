"""What an output has before it, in bytes and in time."""

from hypothesis import given
from hypothesis import strategies as st

from agent.queue.cursor import Cursor
from agent.queue.segment import Name
from agent.queue.wal import Segment
from agent.status.backlog import MOMENTS, Backlog, Moments, backlog


def _segments(*made_at_ms: int) -> list[Segment]:
    """Each of ten frames of ten records, in 1000 bytes."""
    return [
        Segment(Name(i * 10 + 1, 0, b"12345678"), 1000, 1000, i * 10 + 10, i * 100, i * 100 + 100, at)
        for i, at in enumerate(made_at_ms)
    ]


def test_output_that_is_through_has_nothing_before_it() -> None:
    """However old the segment."""
    assert backlog(_segments(1), Cursor(low=10, low_total=100), 100, Moments(), 10**9) == Backlog()


def test_bytes_are_a_share_of_the_segment_it_is_in_and_all_behind_it() -> None:
    """By records."""
    found = backlog(_segments(1000, 2000, 3000), Cursor(low=15, low_total=150), 300, Moments(), 9000)
    assert found == Backlog(1500, 7.0)


def test_age_is_known_better_from_what_was_looked_at() -> None:
    """What is not through was put there after the last moment at which there was no more than what is."""
    moments = Moments()
    for at_ms, total in ((3000, 100), (4000, 140), (5000, 160)):
        moments.note(at_ms, total)
    assert backlog(_segments(1000, 2000), Cursor(low=15, low_total=150), 200, moments, 9000).oldest_secs == 5.0
    assert backlog(_segments(1000, 2000), Cursor(low=10, low_total=100), 200, moments, 9000).oldest_secs == 6.0
    assert backlog(_segments(1000, 2000), Cursor(low=5, low_total=50), 200, moments, 9000).oldest_secs == 8.0


def test_segment_of_unknown_age_has_no_age() -> None:
    """Older versions did not write it down."""
    assert backlog(_segments(0), Cursor(), 100, Moments(), 9000) == Backlog(1000, 0.0)


@given(
    appended=st.lists(st.integers(1, 30), min_size=1, max_size=MOMENTS + 20),
    through=st.floats(0, 1),
)
def test_age_is_never_less_than_it_is(appended: list[int], through: float) -> None:
    """Records appended one moment after the other, looked at each time: the age told is that of the oldest or more."""
    moments, total = Moments(), 0
    made: list[int] = []  # the moment each record was put there
    for at, records in enumerate(appended, start=1):
        total += records
        made += [at * 1000] * records
        moments.note(at * 1000 + 500, total)
    done = min(int(total * through), total - 1)
    segment = Segment(Name(1, 0, b"12345678"), 1000, 1000, total, 0, total, 500)
    now_ms = len(appended) * 1000 + 700
    found = backlog([segment], Cursor(low=done, low_total=done), total, moments, now_ms)
    assert found.oldest_secs >= (now_ms - made[done]) / 1000
    if len(appended) <= MOMENTS:
        assert found.oldest_secs <= (now_ms - made[done]) / 1000 + 0.5
