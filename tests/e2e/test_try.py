"""``modeltail try``: what would be made of lines, shown by the way records go in an agent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli
from agent.processors.parse.presets import PRESETS

ROOT = Path(cli.__file__).parents[1]
DONE, NO = cli.DONE, cli.ANSWER_IS_NO
VLLM = "INFO 11-22 10:00:00 [async_llm.py:430] Finished request chatcmpl-77."
HEAD = r"^(?P<time>\S+ \S+) (?P<level>[A-Z]+) (?P<message>.*)"


def _try(*arguments: str, lines: str | bytes = b"", folder: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODELTAIL_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "agent", "try", *arguments],
        input=lines if isinstance(lines, bytes) else lines.encode(),
        cwd=folder,
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_preset_shows_the_fields_of_each_line() -> None:
    """Under the line itself; what the preset does not know is said."""
    done = _try("--preset", "vllm", "--fields", lines=f"{VLLM}\n\nother\n" + '{"a": 1}\n')
    shown = done.stdout.decode()
    assert done.returncode == DONE
    assert shown.startswith(VLLM + "\n  @timestamp ")
    assert '\n  ml.inference.id       "chatcmpl-77"\n' in shown
    assert "\nother\n  is none of the preset's\n" in shown
    assert done.stderr.decode() == "4 lines: 1 JSON, 1 fit, 1 do not fit, 1 left out (empty)\n"


def test_documents_are_those_an_agent_would_deliver(tmp_path: Path) -> None:
    """The same lines through a running agent and through ``try`` with its configuration come to the same documents, but
    for ids and the time of reading."""
    config = tmp_path / "agent.yaml"
    config.write_text(
        "model: {name: m, version: '1'}\n"
        "inputs: [{type: stdin, id: scorer, preset: [vllm], parse: {type: logfmt}, timezone: Europe/Paris,\n"
        "          exclude_lines: [health], labels: {team: a}}]\n"
        f"outputs: [{{type: stdout}}]\nqueue: {{path: {tmp_path}/queue}}\nstatus: {{enabled: false}}\n"
    )
    lines = (
        f'{VLLM}\nlevel=info msg="a b" n=1.10\nGET /health\nfree text\n{{"n": 1.10, "time": "2026-11-22 10:00:00"}}\n'
    )
    tried = _try("-c", str(config), "--input", "scorer", lines=lines)
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "run", "-c", str(config)],
        input=lines.encode(),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=60,
    )

    def without_times(output: bytes) -> list[object]:
        documents = [json.loads(line) for line in output.splitlines()]
        for document in documents:
            del document["event"]["id"], document["event"]["created"]
            if document["labels"].get("timestamp") == "read":
                del document["@timestamp"]
        return documents

    assert len(tried.stdout.splitlines()) == 4
    assert without_times(tried.stdout) == without_times(ran.stdout)


def test_a_pattern_that_fits_nothing_says_where_it_stopped() -> None:
    """Exit status 2, and for each line the part of the pattern and the place in the line."""
    done = _try("--pattern", HEAD, lines="2026-11-22 10:00:00 warn a\nx\n")
    assert done.returncode == NO
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.decode().splitlines() == [
        "line 1 does not fit: `(?P<level>[A-Z]+)` finds nothing at column 21, 'warn a'",
        "line 2 does not fit: `(?P<time>\\S+ \\S+)` finds nothing at column 1, 'x'",
        "2 lines: 2 do not fit, 2 marked parse_failed",
    ]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    """Also where lines before are blank or left out, and from a file in place of standard input."""
    (tmp_path / "a.log").write_text("a=1\n\nskip\nno pair\n")
    (tmp_path / "agent.yaml").write_text(
        "inputs: [{type: stdin, parse: {type: logfmt}, exclude_lines: skip}]\noutputs: [{type: stdout}]\n"
    )
    done = _try("-c", "agent.yaml", "a.log", folder=tmp_path)
    assert done.returncode == DONE
    assert done.stderr.decode().splitlines() == [
        "line 4 does not fit: no pair `key=value` begins with 'no pair'",
        "4 lines: 1 fit, 1 do not fit, 1 left out (excluded), 1 left out (empty), 1 marked parse_failed",
    ]


def test_settings_are_written_as_in_a_configuration() -> None:
    """``--parse`` takes what stands under ``parse`` there."""
    done = _try("--parse", "{type: csv, columns: [time, level, msg]}", lines="2026-11-22T10:00:00Z,WARNING,a\n")
    document = json.loads(done.stdout)
    assert (document["@timestamp"], document["log"]["level"], document["message"]) == (
        "2026-11-22T10:00:00Z",
        "warning",
        "a",
    )


def test_without_any_setting_it_shows_what_is_always_done() -> None:
    """Lines of usual formats and JSON objects need none; nothing to fit, so nothing does not."""
    done = _try(lines="INFO:     started\nanything\n")
    assert done.returncode == DONE
    assert json.loads(done.stdout.splitlines()[0])["log"]["level"] == "info"
    assert done.stderr.decode() == "2 lines: 2 text\n"


def test_terminals_are_not_steered_by_lines() -> None:
    """Control characters of a line are written out."""
    done = _try("--fields", lines=b"\x1b[2J\x9b\x07 \xff\n")
    assert b"\x1b" not in done.stdout
    assert b"\\x1b[2J" in done.stdout


def test_presets_are_listed() -> None:
    """One line each."""
    done = _try("--list")
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == list(PRESETS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "vlm"), "'vlm' is not one of"),
        (("--parse", "{type: csv, colums: [a]}"), "did you mean `columns`?"),
        (("--parse", "words"), "must be a mapping"),
        (("--pattern", "(?P<a>"), "must be a regular expression"),
        (("--pattern", "a"), "needs a named group"),
        (("--pattern", "(?P<a>.)", "--parse", "{type: logfmt}"), "give either --parse or --pattern"),
        (("--timezone", "Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
        (("--input", "x", "--preset", "vllm"), "stand in the configuration already"),
        (("-c", "config/examples/minimal.yaml", "--input", "x"), "there is no input of lines 'x'"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], said: str) -> None:
    """In a sentence, with the status for a command line that is not understood."""
    done = _try(*arguments)
    assert done.returncode == cli.WRONG_USE
    assert said in done.stderr.decode()
