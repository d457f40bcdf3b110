"""Telling systemd, by its own protocol, over real datagram sockets."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.notify import notify, watchdog_interval_secs


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(address)
        yield listener


@pytest.mark.parametrize("state", ["READY=1", "WATCHDOG=1", "STATUS=grün\nSTOPPING=1"])
def test_state_is_one_datagram_to_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """What is said arrives whole, in one datagram, as UTF-8."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    with _listening(str(address)) as listener:
        assert notify(state)
        assert listener.recv(4096).decode() == state


def test_at_sign_means_the_abstract_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with ``@`` has no file, as systemd writes it in containers."""
    name = f"modeltail-test-{os.urandom(8).hex()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with _listening(f"\0{name}") as listener:
        assert notify("READY=1")
        assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", ["", "nobody-here", "x" * 200])
def test_without_a_listener_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """No variable, a listener that has gone, an address no socket can have: never an error."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / address) if address else "")
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("30000000", "self", 15.0),
        ("30000000", "", 15.0),
        ("30000000", "1", None),
        ("", "", None),
        ("soon", "", None),
        ("0", "", None),
        ("²", "", None),
    ],
    ids=["ours", "no-pid", "another-process", "unset", "not-a-number", "off", "not-a-decimal-digit"],
)
def test_watchdog_is_fed_twice_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, expected: float | None
) -> None:
    """Half of ``WATCHDOG_USEC``; never when it is meant for another process or is no number."""
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)
    assert watchdog_interval_secs() == expected
