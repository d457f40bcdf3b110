"""The command line, as a real process: what it prints and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__, cli

GOOD = "model: {name: fraud-scorer}\ninputs: [{type: stdin}]\noutputs: [{type: stdout}]\n"


def modeltail(*arguments: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in ``folder``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MODELTAIL_")}
    root = str(Path(cli.__file__).parents[1])
    return subprocess.run(  # our own interpreter and module
        [sys.executable, "-W", "error", "-m", "agent", *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": root, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_version_says_what_runs(tmp_path: Path) -> None:
    """The version, Python's and the system's."""
    done = modeltail("version", folder=tmp_path)
    assert done.returncode == cli.DONE
    assert done.stdout.startswith(f"modeltail {__version__} (Python 3.")


def test_help_lists_every_command_and_exit_status(tmp_path: Path) -> None:
    """A newcomer finds everything from ``--help``."""
    done = modeltail("--help", folder=tmp_path)
    assert done.returncode == cli.DONE
    for word in ("run", "check", "setup", "search", "ledger", "config", "version"):
        assert f"\n  {word} " in done.stdout
    for status, meaning in cli.EXIT_STATUSES.items():
        assert f"{status}  " in done.stdout
        assert meaning.split(",")[0] in done.stdout


@pytest.mark.parametrize("name", [*cli.COMPONENT_COMMANDS, *cli.cli.commands])
def test_every_command_has_help(name: str, tmp_path: Path) -> None:
    """Its own page, and a line in the list of commands."""
    done = modeltail(name, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (cli.DONE, "")
    assert f"Usage: modeltail {name}" in done.stdout


def test_check_says_what_a_good_file_means(tmp_path: Path) -> None:
    """One line: from where, through what, to where."""
    (tmp_path / "agent.yaml").write_text(GOOD)
    done = modeltail("check", folder=tmp_path)
    assert (done.returncode, done.stderr) == (cli.DONE, "")
    assert done.stdout == (
        "agent.yaml is good: records of the model fraud-scorer go from stdin through the queue in "
        "/var/lib/modeltail/queue (at most 2GiB) to stdout\n"
    )


def test_check_prints_every_mistake(tmp_path: Path) -> None:
    """On standard output, one a line, to be read by editors too."""
    (tmp_path / "x.yaml").write_text("model: {nam: x}\ninputs: [{type: file, path: x}]\noutputs: [{type: stdout}]\n")
    done = modeltail("check", "x.yaml", folder=tmp_path)
    assert done.returncode == cli.UNUSABLE
    assert done.stdout.splitlines() == [
        "x.yaml:1:9: model.nam: is not a setting; did you mean `name`?",
        "x.yaml:2:10: inputs[0].paths: is missing",
        "x.yaml:2:23: inputs[0].path: is not a setting; did you mean `paths`?",
    ]
    assert done.stderr == "3 mistakes in x.yaml\n"


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["check", "there.yaml"], {}),
        (["check", "-c", "there.yaml"], {}),
        (["check"], {"MODELTAIL_CONFIG": "there.yaml"}),
    ],
)
def test_configuration_can_be_named_in_three_ways(
    tmp_path: Path, arguments: list[str], environ: dict[str, str]
) -> None:
    """As an argument of ``check``, as an option, in the environment."""
    (tmp_path / "there.yaml").write_text(GOOD)
    done = modeltail(*arguments, folder=tmp_path, **environ)
    assert done.stdout.startswith("there.yaml is good")


@pytest.mark.parametrize("command", ["run", "setup", "ledger"])
def test_unusable_configuration_ends_a_command_with_its_mistakes(tmp_path: Path, command: str) -> None:
    """Nothing is touched; the sentences go to standard error."""
    (tmp_path / "agent.yaml").write_text("model: x\n")
    done = modeltail(command, folder=tmp_path)
    assert (done.returncode, done.stdout) == (cli.UNUSABLE, "")
    assert "agent.yaml:1:8: model: must be a mapping" in done.stderr
    assert "agent.yaml:1:1: inputs: is missing" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.yaml"]


def test_missing_configuration_is_one_sentence(tmp_path: Path) -> None:
    """No traceback for a forgotten file."""
    done = modeltail("run", folder=tmp_path)
    assert done.returncode == cli.UNUSABLE
    assert done.stderr == "agent.yaml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", [["vresion"], ["check", "--colour"], ["check", "a", "b"]])
def test_wrong_command_line_has_a_status_of_its_own(tmp_path: Path, arguments: list[str]) -> None:
    """So that a typing mistake is never taken for the answer no."""
    done = modeltail(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (cli.WRONG_USE, "")
    assert "Usage:" in done.stderr


def test_ledger_of_no_queue_says_so(tmp_path: Path) -> None:
    """It does not make one."""
    done = modeltail("ledger", "--queue", "nowhere", folder=tmp_path)
    assert done.returncode == cli.UNUSABLE
    assert "there is no queue in nowhere" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_schema_is_json_on_standard_output(tmp_path: Path) -> None:
    """To be written into a file."""
    done = modeltail("config", "schema", folder=tmp_path)
    assert json.loads(done.stdout)["title"] == "modeltail's configuration"


def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """``modeltail config reference | head -1`` ends quietly."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(  # our own interpreter and module
        [sys.executable, "-m", "agent", "config", "reference"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (cli.DONE, b"")


def test_output_with_a_query_cannot_be_verified(tmp_path: Path) -> None:
    """Which records it did not want is not kept by id: to call them missing would be a false alarm."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "agent.yaml").write_text(
        "queue: {path: queue}\ninputs: [{type: stdin}]\n"
        'outputs: [{type: elasticsearch, id: es, hosts: ["http://127.0.0.1:1"], when: "level:error"}]\n'
    )
    done = modeltail("ledger", "--verify", "es", folder=tmp_path)
    assert done.returncode == cli.UNUSABLE
    assert done.stderr.startswith("modeltail: es: which records its `when` left out is counted, but not kept by id")
