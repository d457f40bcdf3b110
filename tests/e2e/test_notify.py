"""The real agent as a service of systemd's kind ``notify``."""

import socket
from pathlib import Path

import pytest

from tests.e2e.agent_process import AgentProcess


def test_agent_reports_ready_then_feeds_the_watchdog_then_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 comes first and once, WATCHDOG=1 again and again, STOPPING=1 when asked to stop."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    config = {
        "inputs": [{"type": "file", "paths": [str(tmp_path / "*.log")]}],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, AgentProcess(tmp_path, config) as agent:
        systemd.bind(str(address))
        systemd.settimeout(20)
        agent.start()
        assert [systemd.recv(4096) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]
        assert agent.stop() == 0
        systemd.setblocking(False)
        said = []
        while True:
            try:
                said.append(systemd.recv(4096))
            except BlockingIOError:
                break
    assert said.count(b"STOPPING=1") == 1
    assert set(said) == {b"STOPPING=1", b"WATCHDOG=1"}
