"""The image's recipe. Building it needs a container engine; what can be known without one is checked here."""

import fnmatch
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def _instructions() -> list[str]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]


def test_hadolint_has_nothing_to_say() -> None:
    """The linter of Dockerfiles, with all its rules."""
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_say_something(tmp_path: Path) -> None:
    """The check above can fail."""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM debian\nRUN apt-get install curl\n")
    assert subprocess.run([HADOLINT, wrong], capture_output=True, check=False).returncode != 0


def test_image_does_not_run_as_root() -> None:
    """The user is a number, which Kubernetes can compare with zero."""
    (user,) = [line for line in _instructions() if line.startswith("USER ")]
    uid, gid = re.fullmatch(r"USER (\d+):(\d+)", user).groups()  # type: ignore[union-attr]
    assert int(uid) > 0
    assert int(gid) > 0


def test_everything_the_image_copies_is_there_and_sent() -> None:
    """What COPY names exists, and .dockerignore lets it through."""
    copies = [line.split()[1:-1] for line in _instructions() if line.startswith("COPY ") and "--from" not in line]
    names = [name for copy in copies for name in copy]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
        assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name


@pytest.mark.parametrize("word", ["--require-hashes", "requirements/run.txt"])
def test_dependencies_are_pinned_by_hash(word: str) -> None:
    """Nothing is installed that the lock file does not name."""
    installs = [line for line in _instructions() if "pip install" in line]
    assert word in installs[0]
    assert all("--no-deps" in line and "--no-build-isolation" in line for line in installs[1:])


def test_build_tools_leave_before_the_last_stage() -> None:
    """What builds the wheel is uninstalled; what the agent stands on is not."""
    (line,) = [line for line in _instructions() if "pip uninstall" in line]
    removed = set(line.partition("uninstall --yes")[2].partition("&&")[0].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= removed
    needed = {re.split(r"[<>=\[ ]", d)[0].lower() for d in project["project"]["dependencies"]}
    assert not needed & removed


def test_health_check_asks_the_usual_port() -> None:
    """The page and port of the status endpoint as they are when nobody configures them."""
    from agent.status.config import StatusConfig

    (line,) = [line for line in _instructions() if line.startswith("HEALTHCHECK")]
    assert f":{StatusConfig().port}/healthz" in line
