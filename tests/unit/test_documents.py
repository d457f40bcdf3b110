"""The documents for people say what is: links lead somewhere, configurations are good, quoted names exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from agent.cli import EXIT_STATUSES, cli
from agent.config.load import load
from agent.status import metrics

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CODE = "\n".join(path.read_text() for path in sorted(ROOT.glob("agent/**/*.py")))

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)")
_MINIMUM = {"inputs": [{"type": "file", "paths": ["/logs/*.log"]}], "outputs": [{"type": "stdout"}]}


def _links() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for target in _LINK.findall(_FENCED.sub("", path.read_text())):
            yield str(path.relative_to(ROOT)), target


def _configurations() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for language, text in _FENCED.findall(path.read_text()):
            if language in {"yaml", "yml"}:
                yield str(path.relative_to(ROOT)), text


def _commands(document: Path, program: str) -> set[str]:
    """The word behind a program's name, wherever code in the document calls it."""
    text = document.read_text()
    code = [block for language, block in _FENCED.findall(text) if language in {"", "sh"}]
    code += _SPAN.findall(_FENCED.sub("", text))
    called = re.compile(rf"(?:^|\| )(?:[\w./]+/)?{program} ([a-z]+(?:-[a-z]+)*)\b", re.MULTILINE)
    return {word for part in code for word in called.findall(part)}


def _anchor(heading: str) -> str:
    """A heading's anchor, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(("document", "target"), list(_links()))
def test_links_lead_somewhere(document: str, target: str) -> None:
    """A relative link names a file of the tree, and a heading that file has."""
    path, _, anchor = target.partition("#")
    file = (ROOT / document).parent / path if path else ROOT / document
    assert file.exists()
    if anchor and file.suffix == ".md":
        text = _FENCED.sub("", file.read_text())
        assert anchor in {_anchor(heading) for heading in _HEADING.findall(text)}


@pytest.mark.parametrize(("document", "text"), list(_configurations()))
def test_configurations_shown_are_good(
    document: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a document shows passes `modeltail check`; a part of a configuration does once the rest is there."""
    for name in _VARIABLE.findall(text):
        monkeypatch.setenv(name, "set")
    shown = yaml.safe_load(text)
    rest = {key: value for key, value in _MINIMUM.items() if key not in shown}
    file = tmp_path / "agent.yaml"
    file.write_text(text + "\n" + (yaml.safe_dump(rest) if rest else ""))
    assert load(file).inputs


def test_log_lines_shown_are_those_of_the_code() -> None:
    """Word for word, so that they are found when searched for."""
    table = OPERATIONS[OPERATIONS.index("\n| line |") : OPERATIONS.index("## Exit statuses")]
    rows = [row.split(" | ")[0].strip("| ") for row in table.splitlines()[3:] if row.startswith("|")]
    lines = [line for row in rows for line in row.removeprefix("`").removesuffix("`").split("`, `")]
    assert len(lines) > 10
    assert [line for line in lines if f'"{line}"' not in CODE] == []


def test_metrics_shown_are_those_of_the_endpoint() -> None:
    """Counters may carry the suffix the exposition gives them."""
    shown = set(re.findall(r"modeltail_[a-z_]+", OPERATIONS))
    there = set(re.findall(r'"(modeltail_[a-z_]+)"', Path(metrics.__file__).read_text()))
    assert {name.removesuffix("_total") for name in shown} <= there


def test_exit_statuses_shown_are_those_of_the_command() -> None:
    """All of them, with their meaning."""
    for status, meaning in EXIT_STATUSES.items():
        assert f"| {status} | {meaning} |" in OPERATIONS


def test_commands_shown_exist() -> None:
    """Every `modeltail …` in a document is a command of the program."""
    known = set(cli.list_commands(click.Context(cli)))
    shown = {document: _commands(document, "modeltail") for document in DOCUMENTS}
    assert "ledger" in shown[ROOT / "docs" / "operations.md"]
    assert {document: extra for document, words in shown.items() if (extra := words - known)} == {}


def test_make_targets_shown_exist() -> None:
    """Every `make …` in a document is a target."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {document: _commands(document, "make") for document in DOCUMENTS}
    assert {"run", "test"} <= shown[ROOT / "README.md"]
    assert {document: extra for document, words in shown.items() if (extra := words - known)} == {}


def test_bad_input_table_has_a_row_for_every_test() -> None:
    """The README's table and the tests of it grow together."""
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## What happens to bad input") : readme.index("## Where to read on")]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    tests = re.findall(r"^def test_", (ROOT / "tests" / "e2e" / "test_bad_input.py").read_text(), re.MULTILINE)
    assert len(rows) == len(tests)


def test_tests_named_in_the_reliability_page_exist() -> None:
    """Each trouble of the table is shown by a test of that name."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page[page.index("| trouble |") : page.index("## How it is tested")]
    named = re.findall(r"`(test_\w+)` \|$", table, re.MULTILINE)
    there = {
        name for path in ROOT.glob("tests/**/test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) == len(table.splitlines()[2:]) - 1
    assert set(named) <= there
