"""``modeltail dead-letter`` looks without touching, deletes only what was asked for, and says what happened."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.dead_letters.command import dead_letter_command
from agent.delivery.dead_letters.folder import dead_letter_counts
from agent.delivery.dead_letters.selection import kind_of
from tests.delivery.test_dead_letters import YEAR_AGO, ids, kept, letter, put


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A queue's folder with two dead letters of ``es``, and one, long ago, of ``archive``."""
    put(tmp_path / "dead-letters" / "es", letter(1), letter(2))
    put(tmp_path / "dead-letters" / "archive", letter(3, time=YEAR_AGO))
    return tmp_path


def call(*arguments: str, answer: str = "") -> Result:
    """Run it in this process; the exit status is ``return_value``."""
    return CliRunner().invoke(dead_letter_command, arguments, standalone_mode=False, input=answer)


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_list_tells_how_many_why_and_since_when(queue: Path) -> None:
    """For each output, with the frequent reasons and what left the store."""
    result = call("list", "--queue", str(queue))
    assert result.return_value == 0
    assert "OUTPUT es: 2 dead letters" in result.output
    assert f"given up from {YEAR_AGO} to {YEAR_AGO}" in result.output
    assert "        2  mapping: '…'" in result.output
    assert "gone: 0 replayed, 0 purged, 0 expired" in result.output


def test_list_as_json_has_the_numbers_of_the_store(queue: Path) -> None:
    """The same counts that the ledger shows."""
    (found,) = json.loads(call("list", "es", "--json", "--queue", str(queue)).output).values()
    assert found["counts"]["kept"] == dead_letter_counts(queue / "dead-letters" / "es").kept == 2
    assert found["reasons"] == {"mapping: '…'": 2}


def test_list_shows_the_most_frequent_reasons_only(tmp_path: Path) -> None:
    """The others are one line with their number."""
    some = [letter(n) for n in range(10)]
    for n, one in enumerate(some):
        one.reason = "often" if n < 7 else f"rare {'abc'[n - 7]}"
    put(tmp_path / "dead-letters" / "es", *some)
    text = call("list", "--top", "1", "--queue", str(tmp_path)).output
    assert "7  often" in text
    assert "3  of 3 other reasons" in text


@pytest.mark.parametrize("command", [["list"], ["show"], ["export"], ["list", "es"]])
def test_looking_changes_nothing(queue: Path, command: list[str]) -> None:
    """Not a byte, and no file is made."""
    before = _content(queue)
    assert call(*command, "--queue", str(queue)).return_value == 0
    assert _content(queue) == before


def test_show_gives_the_letter_in_full_and_obeys_nothing_in_it(tmp_path: Path) -> None:
    """Control characters of a document or a reason do not reach the terminal."""
    hostile = letter(1)
    hostile.reason = "bad \x1b[2J value"
    put(tmp_path / "dead-letters" / "es", hostile, letter(2))
    result = call("show", "es", "--id", "run-000001", "--queue", str(tmp_path))
    assert "bad \\u001b[2J value" in result.output
    assert '"n": 1' in result.output
    assert "run-000002" not in result.output


def test_show_stops_at_its_limit(queue: Path) -> None:
    """And says that there are more."""
    result = call("show", "es", "--limit", "1", "--queue", str(queue))
    assert result.stdout.count("document\n") == 1
    assert "There are more" in result.stderr


def test_export_writes_letters_or_documents_one_a_line(queue: Path) -> None:
    """Whole letters by default; with `--documents` each is byte for byte what was refused."""
    lines = call("export", "es", "--queue", str(queue)).output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids(1, 2)
    assert call("export", "es", "--documents", "--queue", str(queue)).stdout_bytes == b"".join(
        letter(n).original + b"\n" for n in (1, 2)
    )


@pytest.mark.parametrize("command", ["show", "export", "purge"])
def test_nothing_found_has_its_status(queue: Path, command: str) -> None:
    """As with `search`: 2."""
    assert call(command, "es", "--id", "other", "--queue", str(queue)).return_value == 2


def test_purge_asks_first(queue: Path) -> None:
    """Without a yes nothing is deleted."""
    result = call("purge", "es", "--queue", str(queue), answer="n\n")
    assert "Delete 2 dead letters of es for good?" in result.output
    assert result.return_value == 2
    assert kept(queue / "dead-letters" / "es") == ids(1, 2)
    assert call("purge", "es", "--queue", str(queue), answer="y\n").return_value == 0
    assert kept(queue / "dead-letters" / "es") == []


@pytest.mark.parametrize(("age", "status", "left"), [("7d", 0, []), ("200w", 2, ids(3))])
def test_purge_by_age(queue: Path, age: str, status: int, left: list[str]) -> None:
    """Only what was given up longer ago."""
    folder = queue / "dead-letters" / "archive"
    put(folder, letter(4))
    assert call("purge", "archive", "--older-than", age, "--yes", "--queue", str(queue)).return_value == status
    assert kept(folder) == [*left, *ids(4)]
    assert dead_letter_counts(folder).purged == 1 - len(left)


def test_commands_on_no_queue_say_so(tmp_path: Path) -> None:
    """One sentence, no folder is made."""
    result = call("list", "--queue", str(tmp_path / "none"))
    assert "there is no queue" in str(result.exception)
    assert not (tmp_path / "none").exists()


def _configured(folder: Path, **output: object) -> str:
    config = {
        "inputs": [{"type": "stdin"}],
        "queue": {"path": str(folder)},
        "outputs": [{"id": "es", **output}],
    }
    (folder / "agent.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "agent.yaml")


@pytest.mark.parametrize("kind", [{"type": "ndjson", "path": "/x"}, {"type": "stdout"}, {"type": "local"}])
def test_replay_to_an_output_that_takes_the_queue_only_is_refused(queue: Path, kind: dict[str, str]) -> None:
    """These outputs refuse nothing, and a letter out of its order would break their position; the letters stay."""
    result = call("replay", "es", "-c", _configured(queue, **kind))
    assert result.return_value == 1
    assert "in the order of the queue only" in result.output
    assert "dead-letter export es --documents" in result.output
    assert kept(queue / "dead-letters" / "es") == ids(1, 2)


def test_replay_of_an_output_no_longer_configured_says_what_is_possible(queue: Path) -> None:
    """Its letters can be exported; the others are replayed all the same."""
    config = _configured(queue, type="stdout")
    result = call("replay", "-c", config, "--dry-run")
    assert result.return_value == 1
    assert "archive is not configured any more" in result.output
    assert "es: 2 dead letters would be sent again" in result.output
    assert "has no output archive" in str(call("replay", "archive", "-c", config).exception)


def test_replay_of_nothing_is_done(tmp_path: Path) -> None:
    """No letters, nothing to do; but a record that was named and is not there is told."""
    config = _configured(tmp_path, type="stdout")
    assert call("replay", "-c", config).return_value == 0
    assert call("replay", "--id", "x", "-c", config).return_value == 2


_REASON = (
    "document_parsing_exception: [1:{n}] failed to parse field [fields.n] of type [long] in document with id '{id}'. "
    "Preview of field's value: '{value}': For input string: \"{value}\""
)


@given(
    n=st.integers(0),
    record=st.text("0123456789abcdef-", min_size=12),
    value=st.text(st.characters(exclude_characters="'\"")),
)
def test_reasons_are_grouped_by_what_they_share(n: int, record: str, value: str) -> None:
    """Quotes, ids and numbers differ from record to record; what is wrong does not."""
    assert kind_of(_REASON.format(n=n, id=record, value=value)) == (
        "document_parsing_exception: [#:#] failed to parse field [fields.n] of type [long] in document with id '…'. "
        "Preview of field's value: '…': For input string: '…'"
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("413: larger than 1048576 bytes", "#: larger than # bytes"),
        ("record 0193f00dbeef-00-1 is odd", "record # is odd"),
        ("a value that was cut: 'abc", "a value that was cut: '…'"),
        ("x" * 500, "x" * 300 + "…"),
    ],
)
def test_kind_of_a_reason(reason: str, kind: str) -> None:
    """Whatever varies is left out, and it fits a line or two."""
    assert kind_of(reason) == kind
