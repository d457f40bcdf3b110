"""Which of several hosts is asked next."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.hosts import FIRST_SECS, LONGEST_SECS, Hosts


def asked_of(hosts: Hosts, now: float) -> str:
    """Which host is asked, and answers before anything else is asked."""
    with hosts.chosen(now) as address:
        return address


def test_hosts_take_turns() -> None:
    """Each as often as the others, and one that is given twice as often as one."""
    hosts = Hosts(["a", "b", "a", "c"])
    assert [asked_of(hosts, 0.0) for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_the_least_busy_host_is_next() -> None:
    """Turns decide only among the equally busy."""
    hosts = Hosts(["a", "b", "c"])
    with hosts.chosen(0.0) as first, hosts.chosen(0.0) as second:
        assert (first, second) == ("a", "b")
        assert [asked_of(hosts, 0.0) for _ in range(3)] == ["c", "c", "c"]
    assert [asked_of(hosts, 0.0) for _ in range(3)] == ["a", "b", "c"]


def test_a_host_that_failed_is_left_out_and_comes_back() -> None:
    """For a second, to the moment."""
    hosts = Hosts(["a", "b"])
    hosts.failed("a", 10.0)
    assert {asked_of(hosts, 10.0 + FIRST_SECS - 0.001) for _ in range(4)} == {"b"}
    assert {asked_of(hosts, 10.0 + FIRST_SECS) for _ in range(4)} == {"a", "b"}


@pytest.mark.parametrize(
    ("failures", "secs"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 30.0), (60, 30.0), (2000, 30.0)]
)
def test_failing_again_doubles_the_time_out(failures: int, secs: float) -> None:
    """Up to half a minute, however often."""
    hosts = Hosts(["a", "b"])
    for _ in range(failures):
        hosts.failed("a", 0.0)
    assert {asked_of(hosts, secs - 0.001) for _ in range(2)} == {"b"}
    assert "a" in {asked_of(hosts, secs) for _ in range(2)}


def test_a_host_that_comes_back_gets_one_request_until_it_answers() -> None:
    """If it hangs it holds no more than that, however much is on its way to the others."""
    hosts = Hosts(["a", "b"])
    hosts.failed("a", 0.0)
    with ExitStack() as on_their_way:
        asked = [on_their_way.enter_context(hosts.chosen(FIRST_SECS)) for _ in range(6)]
        assert asked.count("a") == 1
        hosts.answered("a")
        assert [on_their_way.enter_context(hosts.chosen(FIRST_SECS)) for _ in range(3)] == ["a"] * 3


def test_an_answer_ends_it() -> None:
    """The next failure counts as the first."""
    hosts = Hosts(["a", "b"])
    hosts.failed("a", 0.0)
    hosts.failed("a", 0.0)
    hosts.answered("a")
    assert {asked_of(hosts, 0.0) for _ in range(2)} == {"a", "b"}
    assert hosts.failed("a", 0.0)
    assert "a" in {asked_of(hosts, FIRST_SECS) for _ in range(2)}


def test_when_all_are_out_the_one_soonest_back_is_asked() -> None:
    """Nothing is gained by asking nobody."""
    hosts = Hosts(["a", "b"])
    hosts.failed("a", 0.0)
    hosts.failed("a", 0.0)
    hosts.failed("b", 0.5)
    assert asked_of(hosts, 0.6) == "b"


def test_only_the_first_failure_of_one_of_several_is_news() -> None:
    """Of the only host the delivery loop itself says that it does not answer."""
    several, one = Hosts(["a", "b"]), Hosts(["a"])
    assert [several.failed("a", 0.0), several.failed("a", 0.0), one.failed("a", 0.0)] == [True, False, False]


@given(
    names=st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
    events=st.lists(st.tuples(st.booleans(), st.floats(0, 40)), max_size=60),
)
def test_no_host_is_forgotten_or_asked_too_soon(names: list[str], events: list[tuple[bool, float]]) -> None:
    """Whatever answers and fails when: a host is asked within its time out only if all are, and one that is not out is
    asked within as many questions as there are hosts."""
    hosts, now = Hosts(names), 0.0
    out_until = dict.fromkeys(names, 0.0)
    in_a_row = dict.fromkeys(names, 0)
    for answers, later in events:
        now += later
        asked = asked_of(hosts, now)
        if out_until[asked] > now:
            assert out_until[asked] == min(out_until.values())
        if answers:
            hosts.answered(asked)
            out_until[asked], in_a_row[asked] = 0.0, 0
        else:
            hosts.failed(asked, now)
            in_a_row[asked] += 1
            out_until[asked] = now + min(FIRST_SECS * 2 ** (in_a_row[asked] - 1), LONGEST_SECS)
    well = {name for name, until in out_until.items() if until <= now}
    assert well <= {asked_of(hosts, now) for _ in set(names)}
