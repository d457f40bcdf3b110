"""Where an input listens: addresses, socket files and what lies in their way, sockets that systemd passes."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.inputs.listen import (
    Place,
    TlsOptions,
    address_of,
    address_problem,
    announce,
    listening,
    parse_address,
    server_tls,
)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:5140", Place(host="127.0.0.1", port=5140)),
        ("localhost:0", Place(host="localhost")),
        ("[::1]:65535", Place(host="::1", port=65535)),
        ("unix:/run/mt.sock", Place(path="/run/mt.sock")),
        ("systemd:syslog", Place(passed="syslog")),
    ],
)
def test_addresses(text: str, place: Place) -> None:
    """As people write them."""
    assert parse_address(text) == place
    assert address_problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5140",
        ":5140",
        "127.0.0.1",
        "127.0.0.1:65536",
        "::1:5140",
        "unix:relative",
        "unix:/" + "x" * 107,
        "systemd:",
    ],
)
def test_what_is_no_address_is_said(text: str) -> None:
    """Before anything is opened."""
    problem = address_problem(text)
    assert problem is not None
    assert problem.startswith("must be ")


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_a_taken_port_is_a_problem_of_the_configuration(kind: str) -> None:
    """The setting and the address are named."""
    with (
        listening("127.0.0.1:0", kind, "here") as [first],  # type: ignore[arg-type]
        pytest.raises(ConfigError, match=r"here: cannot listen on 127\.0\.0\.1:\d+: Address already in use"),
        listening(address_of(first), kind, "here"),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize(
    ("address", "tls", "warned"),
    [
        ("127.0.0.1:0", False, False),
        ("0.0.0.0:0", False, True),
        ("0.0.0.0:0", True, False),
        ("unix:{folder}/s", False, False),
    ],
)
def test_other_machines_without_tls_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str, tls: bool, warned: bool
) -> None:
    """Loopback and socket files are not open to others, everything else is."""
    with (
        caplog.at_level("INFO", logger="modeltail"),
        listening(address.format(folder=tmp_path), "stream", "here") as [bound],
    ):
        announce("in", bound, tls=tls)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned + ["INFO"]


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_a_file_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path, kind: str) -> None:
    """Left behind by a process that was killed; in use by one that lives."""
    text = f"unix:{tmp_path}/s"
    type_ = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, type_) as killed:
        killed.bind(f"{tmp_path}/s")
    with listening(text, kind, "here", 0o600) as [first]:  # type: ignore[arg-type]
        assert os.stat(f"{tmp_path}/s").st_mode & 0o777 == 0o600
        with pytest.raises(ConfigError, match="in use"), listening(text, kind, "here"):  # type: ignore[arg-type]
            pass
        assert address_of(first) == text
        assert os.path.exists(f"{tmp_path}/s")
    assert not os.path.exists(f"{tmp_path}/s")


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """Also at the end, when somebody else's file lies there by then."""
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="in use"), listening(f"unix:{path}", "stream", "here"):
        pass
    assert path.read_text() == "precious"
    path.unlink()
    with listening(f"unix:{path}", "stream", "here"):
        path.unlink()
        path.write_text("precious")
    assert path.exists()


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "log", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x", "LISTEN_PID": "y"}],
)
def test_sockets_not_passed_are_a_problem(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """None, another process's, nonsense."""
    for name in ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(ConfigError, match="systemd passed no stream socket"),
        listening("systemd:log", "stream", "here"),
    ):
        pass


_CHILD = """
import sys
from agent.inputs.listen import listening
with listening("systemd:log", sys.argv[1], "here") as [passed]:
    if sys.argv[1] == "stream":
        passed.setblocking(True)
        passed, _ = passed.accept()
    print(passed.recv(100).decode(), flush=True)
"""


@pytest.mark.parametrize(("kind", "option"), [("stream", []), ("datagram", ["--datagram"])])
def test_systemd_passes_a_socket(tmp_path: Path, kind: str, option: list[str]) -> None:
    """The real ``systemd-socket-activate`` opens the socket and starts us at the first message."""
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("needs systemd-socket-activate")
    path = tmp_path / "s"
    command = [activate, *option, f"--listen={path}", "--fdname=log", "-E", "PYTHONPATH", sys.executable, "-c", _CHILD]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([*command, kind], stdout=subprocess.PIPE, env=environment) as process:
        deadline = time.monotonic() + 30
        type_ = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
        with socket.socket(socket.AF_UNIX, type_) as client:
            while (failed := client.connect_ex(str(path))) in (errno.ENOENT, errno.ECONNREFUSED):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert failed == 0
            client.sendall(b"first message")
            assert process.stdout is not None
            assert process.stdout.readline() == b"first message\n"


def test_certificates_that_cannot_be_used_are_a_problem(tmp_path: Path) -> None:
    """The setting is named."""
    (tmp_path / "no.pem").write_text("no certificate")
    for file in ("no.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=r"^here: a certificate or key cannot be used"):
            server_tls(TlsOptions(certificate=str(tmp_path / file)), "here")
