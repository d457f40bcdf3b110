"""Whose turn it is among several hosts."""

from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.hosts import LONGEST_SECS, Hosts


def test_hosts_take_turns() -> None:
    """Each as often as the other, each once in the list."""
    hosts = Hosts(["a", "b", "a"])
    assert [hosts.choose(0.0) for _ in range(4)] == ["a", "b", "a", "b"]


def test_host_that_fails_is_left_out_and_comes_back() -> None:
    """For a second, then for two; an answer makes it well at once. Only the first failure in a row is news."""
    hosts = Hosts(["a", "b"])
    assert hosts.failed("a", 0.0)
    assert {hosts.choose(0.9) for _ in range(4)} == {"b"}
    assert "a" in {hosts.choose(1.0) for _ in range(2)}
    assert not hosts.failed("a", 1.0)
    assert {hosts.choose(2.9) for _ in range(4)} == {"b"}
    hosts.answered("a")
    assert {hosts.choose(2.9) for _ in range(2)} == {"a", "b"}


def test_when_all_are_left_out_the_first_to_be_due_is_asked() -> None:
    """Nobody waits for a host while there is one to try."""
    hosts = Hosts(["a", "b"])
    hosts.failed("b", 0.0)
    hosts.failed("a", 0.5)
    assert {hosts.choose(0.6) for _ in range(3)} == {"b"}


@given(st.integers(1, 5000))
def test_host_is_asked_again_after_any_number_of_failures(failures: int) -> None:
    """Days of failures leave it out for no longer than an hour of them does."""
    hosts = Hosts(["a", "b"])
    for _ in range(failures):
        hosts.failed("a", 0.0)
    assert "a" in {hosts.choose(LONGEST_SECS) for _ in range(2)}
