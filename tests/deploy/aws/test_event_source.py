"""The stand-ins for Lambda and its event source mapping do what AWS documents: else the other tests prove nothing."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.aws.stream import FIRST_SEQUENCE, SHARD, record
from tests.servers.event_source import EventSource, Given
from tests.servers.lambda_runtime import FunctionFailed, FunctionTimedOut, LambdaFunction

RECORDS = [record(b"data", i) for i in range(8)]
SEQUENCES = [str(FIRST_SEQUENCE + i) for i in range(8)]

CODE = """
import os, time
def handler(event, context):
    print("invoked", os.getpid(), context.get_remaining_time_in_millis() > 0, flush=True)
    if event == "hang":
        time.sleep(600)
    if event == "end":
        os._exit(3)
    if event == "raise":
        raise ValueError("because")
    return event
"""


class Function:
    """Fails the batches in which one of the poisonous records is, as it is told to. ``batches`` are what it saw."""

    def __init__(self, poison: set[str], fails: str) -> None:
        self.batches: list[list[str]] = []
        self.done: list[str] = []
        self._poison = poison
        self._fails = fails

    def __call__(self, event: Mapping[str, Any]) -> Any:
        batch = [entry["kinesis"]["sequenceNumber"] for entry in event["Records"]]
        self.batches.append(batch)
        bad = [sequence for sequence in batch if sequence in self._poison]
        if bad and self._fails == "raises":
            raise FunctionFailed("ValueError", "because")
        first = batch.index(bad[0]) if bad else len(batch)
        self.done += batch[:first]
        return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in reversed(bad)]}


@pytest.mark.parametrize("fails", ["raises", "names the failed"])
@pytest.mark.parametrize("bisect", [True, False])
def test_poison_is_given_up_after_its_attempts(fails: str, bisect: bool) -> None:
    """With bisection, or with a function that names it, the poisonous record alone and in order; else its batch."""
    function = Function({SEQUENCES[5]}, fails)
    source = EventSource(None, "stream", function, attempts=3, bisect=bisect)
    source.deliver(SHARD, RECORDS)
    if bisect:
        assert source.on_failure == [Given(SHARD, [SEQUENCES[5]])]
        assert function.done == [*SEQUENCES[:5], *SEQUENCES[6:]]
    elif fails == "raises":
        assert source.on_failure == [Given(SHARD, SEQUENCES)]
    else:
        assert source.on_failure == [Given(SHARD, SEQUENCES[5:])]


def test_lowest_of_several_failures_is_where_it_goes_on() -> None:
    """Everything from it on comes again."""
    function = Function({SEQUENCES[2], SEQUENCES[6]}, "names the failed")
    EventSource(None, "stream", function, attempts=2, bisect=False).deliver(SHARD, RECORDS)
    assert function.batches == [SEQUENCES, SEQUENCES[2:]]


def test_number_that_is_not_in_the_batch_fails_all_of_it() -> None:
    """As AWS does with an identifier it does not know."""
    answers = iter([{"batchItemFailures": [{"itemIdentifier": ""}]}, {"batchItemFailures": []}])
    source = EventSource(None, "stream", lambda _: next(answers), bisect=False)
    source.deliver(SHARD, RECORDS)
    assert (source.invocations, source.on_failure) == (2, [])


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A function that does as its event says."""
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("app.py", CODE)
    return tmp_path / "code.zip"


def test_function_is_killed_at_its_time_limit(code: Path, tmp_path: Path) -> None:
    """And a new process takes the next event."""
    with LambdaFunction(code, "app.handler", {}, tmp_path, timeout_secs=3) as function:
        with pytest.raises(FunctionTimedOut):
            function.invoke("hang")
        function.timeout_secs = 30
        assert function.invoke("next") == "next"
        assert function.kills == 1


def test_error_leaves_the_process_and_an_end_does_not(code: Path, tmp_path: Path) -> None:
    """A raised error is answered and the process kept; one that ended is started again."""
    with LambdaFunction(code, "app.handler", {}, tmp_path) as function:
        with pytest.raises(FunctionFailed, match="because"):
            function.invoke("raise")
        assert function.invoke("next") == "next"
        with pytest.raises(FunctionFailed):
            function.invoke("end")
        assert function.invoke("next") == "next"
        first, second, third, fourth = (line.split()[1] for line in function.log().splitlines() if "invoked" in line)
    assert first == second == third
    assert fourth != first
