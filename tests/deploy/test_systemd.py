"""The service's unit, judged by systemd's own tools."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agent.config.load import load

UNIT = Path(__file__).parents[2] / "deploy/systemd/modeltail.service"
LARGEST_EXPOSURE = 2.0

NOT_SUPPORTED = 77
DENY_WRITE_EXECUTE = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: stays over exec
    sys.exit({NOT_SUPPORTED})
os.execv(sys.argv[1], sys.argv[1:])
"""


def _analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    if shutil.which("systemd-analyze") is None:
        missing = "SYSTEMD-ANALYZE IS MISSING: install the package systemd"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that exists, as ``verify`` wants."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/modeltail/bin/modeltail " in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/modeltail/bin/modeltail", "/bin/true"))
    return copy


def _service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.read(UNIT)
    return parser["Service"]


def test_unit_has_no_mistake(installed: Path) -> None:
    """No unknown key, no wrong value."""
    done = _analyze("verify", "--recursive-errors=yes", str(installed))
    assert (done.returncode, done.stderr) == (0, "")


def test_misspelt_key_would_be_found(installed: Path) -> None:
    """The check above can fail."""
    installed.write_text(installed.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert _analyze("verify", "--recursive-errors=yes", str(installed)).returncode != 0


def test_service_is_hardened(installed: Path) -> None:
    """systemd's own measure of exposure, from 0 to 10, stays low."""
    done = _analyze("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE * 10:.0f}", str(installed))
    assert done.returncode == 0, done.stdout


def test_service_gives_more_time_to_stop_than_the_agent_takes(tmp_path: Path) -> None:
    """systemd kills after TimeoutStopSec; the agent is through with stopping before, unless configured otherwise."""
    minimal = tmp_path / "agent.yaml"
    minimal.write_text("inputs: [{type: stdin}]\noutputs: [{type: local}]\n")
    timeout = _service()["TimeoutStopSec"]
    assert float(timeout.removesuffix("s")) > load(minimal).grace


def test_agent_runs_where_memory_is_never_writable_and_executable(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute does not stop what the agent is made of, native parts included: it delivers."""
    assert _service()["MemoryDenyWriteExecute"] == "yes"
    config = {
        "inputs": [{"type": "stdin"}],
        "outputs": [
            {"type": "local", "path": str(tmp_path / "store")},
            {"type": "elasticsearch", "hosts": ["http://127.0.0.1:1"], "id": "dead"},
        ],
        "queue": {"path": str(tmp_path / "queue"), "min_free": 0},
        "status": {"port": 0},
        "grace": "5s",
    }
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump(config))
    agent = [sys.executable, "-m", "agent", "run", "-c", str(tmp_path / "agent.yaml")]
    done = subprocess.run([sys.executable, "-c", DENY_WRITE_EXECUTE, *agent], input=b"a line\n", capture_output=True)
    if done.returncode == NOT_SUPPORTED:
        pytest.skip("PR_SET_MDWE IS MISSING: needs Linux 6.3")
    assert done.returncode == 0, done.stderr
    assert b'"local":0,"dead":1' in done.stderr
