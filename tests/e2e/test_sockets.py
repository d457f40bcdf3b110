"""Real senders, the real agent, the embedded store: what they send is what is found."""

import json
import logging
import logging.handlers
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import graypy
import pytest
import yaml
from graypy.handler import BaseGELFChunker

from tests.e2e.agent_process import AgentProcess
from tests.fakes.certificates import make_certificates
from tests.servers.debian import debian_command

INPUTS = {
    "udp": {"type": "udp", "listen": "127.0.0.1:0"},
    "tcp": {"type": "tcp", "listen": "127.0.0.1:0"},
    "stream": {"type": "unix", "listen": "unix:{folder}/stream.sock"},
    "datagram": {"type": "unix", "kind": "datagram", "listen": "unix:{folder}/log"},
}


class Served(AgentProcess):
    """An agent with an input of each kind, and where they listen."""

    def __init__(self, folder: Path, inputs: dict[str, Any]) -> None:
        text = json.dumps([{"id": name, "linger": "10ms", **input_} for name, input_ in inputs.items()])
        super().__init__(
            folder,
            {
                "inputs": json.loads(text.replace("{folder}", str(folder))),
                "outputs": [{"type": "local", "path": str(folder / "store")}],
            },
        )

    def __enter__(self) -> Self:
        return self

    def address(self, name: str) -> str:
        """Where an input listens."""
        found: list[str] = [x["address"] for x in self.said("An input is listening") if x["input"] == name]
        return found[-1]

    def port(self, name: str) -> int:
        """Its port."""
        return int(self.address(name).rpartition(":")[2])

    def records(self, count: int) -> list[dict[str, Any]]:
        """What is in the store once so many records are."""
        self.wait_until_queued_is_zero(count)
        command = [sys.executable, "-m", "agent", "search", "", "--json", "--limit", "100000"]
        found = subprocess.run([*command, "--store", str(self.folder / "store")], capture_output=True, check=True)
        return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An agent with all four, shared: each test looks for its own messages."""
    with Served(tmp_path_factory.mktemp("sockets"), INPUTS) as served:
        served.start()
        while len(served.said("An input is listening")) < len(INPUTS):
            time.sleep(0.01)
        yield served


def found(agent: Served, text: str, count: int = 1) -> list[dict[str, Any]]:
    """The records whose message holds the text, once there are so many."""
    deadline = time.monotonic() + 60
    while True:
        hits = [r for r in agent.records(0) if text in json.dumps(r)]
        if len(hits) >= count:
            return hits
        assert time.monotonic() < deadline, f"not found: {text}\n{agent.log_text()[-2000:]}"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("udp", ["--udp", "--rfc5424"]),
        ("udp", ["--udp", "--rfc3164"]),
        ("tcp", ["--tcp", "--rfc5424", "--octet-count"]),
        ("tcp", ["--tcp", "--rfc3164"]),
        ("datagram", []),
        ("stream", []),
    ],
)
def test_logger_of_util_linux(agent: Served, name: str, options: list[str]) -> None:
    """The command ``logger`` over every transport and in both formats."""
    logger = shutil.which("logger")
    if logger is None:
        pytest.skip("needs the command logger")
    address = agent.address(name)
    where = (
        ["--socket", address.removeprefix("unix:"), "--socket-errors=on"]
        if address.startswith("unix:")
        else ["--server", "127.0.0.1", "--port", str(agent.port(name))]
    )
    text = f"logger {name} {' '.join(options)}"
    command = [logger, *where, *options, "--priority", "user.err", "--tag", "scorer", "--id=4242", text]
    subprocess.run(command, check=True)
    (record,) = found(agent, f'"{text}"')
    assert record["message"] == text
    assert record["log"]["level"] == "error"
    assert record["process"]["name"] == "scorer"
    assert record["process"]["pid"] == 4242


def _logged(handler: logging.Handler, text: str) -> None:
    logger = logging.Logger("scorer", logging.INFO)
    logger.addHandler(handler)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception(text, extra={"model_version": "7", "score": 0.25})
    handler.close()


def test_graypy_over_udp_in_chunks(agent: Served) -> None:
    """The GELF library, compressed and cut into chunks, with a traceback and fields of its own."""
    handler = graypy.GELFUDPHandler("127.0.0.1", agent.port("udp"), gelf_chunker=BaseGELFChunker(chunk_size=100))
    _logged(handler, "graypy in chunks")
    (record,) = found(agent, '"message": "graypy in chunks"')
    assert record["error"]["type"] == "ValueError"
    assert record["log"]["level"] == "error"
    assert record["ml"]["model"]["version"] == "7"
    assert record["fields"]["score"] == 0.25


def test_graypy_over_tcp(agent: Served) -> None:
    """Ended by a zero byte, uncompressed."""
    _logged(graypy.GELFTCPHandler("127.0.0.1", agent.port("tcp")), "graypy over tcp")
    (record,) = found(agent, '"message": "graypy over tcp"')
    assert record["error"]["type"] == "ValueError"


@pytest.mark.parametrize("name", ["udp", "tcp", "datagram"])
def test_syslog_handler_of_the_standard_library(agent: Served, name: str) -> None:
    """Python's own: no time, no tag, a zero byte at the end."""
    address = agent.address(name)
    where = address.removeprefix("unix:") if address.startswith("unix:") else ("127.0.0.1", agent.port(name))
    kind = socket.SOCK_STREAM if name == "tcp" else socket.SOCK_DGRAM
    handler = logging.handlers.SysLogHandler(where, socktype=kind)
    logger = logging.Logger("scorer", logging.INFO)
    logger.addHandler(handler)
    logger.warning('{"message": "syslog handler %s", "request_id": "r-1"}', name)
    handler.close()
    (record,) = found(agent, f'"message": "syslog handler {name}"')
    assert record["log"]["level"] == "warning"
    assert record["ml"]["inference"]["id"] == "r-1"


@pytest.mark.parametrize(("name", "protocol"), [("udp", "udp"), ("tcp", "tcp")])
def test_rsyslog_forwards(agent: Served, tmp_path: Path, name: str, protocol: str) -> None:
    """Debian's rsyslog, in its forwarding format, over TCP with counted frames."""
    rsyslogd = debian_command("rsyslogd", "rsyslog")
    counted = ' TCP_Framing="octet-counted"' if protocol == "tcp" else ""
    config = tmp_path / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{tmp_path}")\n'
        'module(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" Socket="{tmp_path}/in" CreatePath="on")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{agent.port(name)}" protocol="{protocol}"{counted}\n'
        '       template="RSYSLOG_SyslogProtocol23Format")\n'
    )
    with subprocess.Popen([rsyslogd, "-n", "-f", str(config), "-i", str(tmp_path / "pid")]) as process:
        try:
            deadline = time.monotonic() + 30
            while not (tmp_path / "in").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            text = f"through rsyslog by {protocol}"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(f"{tmp_path}/in")
                sender.send(f"<13>Nov 23 12:00:00 scorer[7]: {text}".encode())
            (record,) = found(agent, text)
        finally:
            process.terminate()
    assert record["process"] == {"name": "scorer", "pid": 7}
    assert record["log"]["syslog"]["version"] == "1"


@pytest.mark.skipif(not hasattr(ssl, "wrap_socket"), reason="graypy's TLS needs Python 3.11")
@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
def test_graypy_over_tls(tmp_path: Path) -> None:
    """The library's TLS handler checks our certificate, and so does a client that writes lines."""
    certificates = make_certificates(tmp_path / "tls", "127.0.0.1")
    tls = {"certificate": str(certificates.chain), "key": str(certificates.key)}
    with Served(tmp_path, {"tls": {"type": "tcp", "listen": "127.0.0.1:0", "tls": tls}}) as agent:
        agent.start()
        agent.wait_until_said("An input is listening")
        context = ssl.create_default_context(cafile=str(certificates.authority))
        with (
            socket.create_connection(("127.0.0.1", agent.port("tls"))) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(b'{"message": "checked"}\n')
        handler = graypy.GELFTLSHandler(
            "127.0.0.1", agent.port("tls"), validate=True, ca_certs=str(certificates.authority)
        )
        _logged(handler, "graypy over tls")
        assert len(agent.records(2)) == 2
        assert agent.stop() == 0


def test_a_stop_under_load_loses_nothing_uncounted(tmp_path: Path) -> None:
    """A flood of datagrams into a small buffer, SIGTERM in the middle: the sum of the ledger is what the senders were
    told was sent."""
    udp = {"type": "udp", "listen": "127.0.0.1:0", "receive_buffer": "64KiB", "on_full": "block"}
    with Served(tmp_path, {"udp": udp}) as agent:
        agent.start()
        agent.wait_until_said("An input is listening")
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", agent.port("udp")))
            while sent < 100_000:
                if sent == 50_000:
                    agent.process.terminate()
                try:
                    sender.send(b'{"n":%d}' % sent)
                except ConnectionRefusedError:
                    sent -= 1  # the datagram before this one was refused
                    break
                sent += 1
        assert agent.process.wait(60) == 0
        agent.start()
        agent.wait_until_queued_is_zero(0)
        ledger = agent.ledger()
        counts = ledger["inputs"]["udp"]
        assert counts["accepted"] == sent
        stored = [r["fields"]["n"] for r in agent.records(sent)]
        assert len(stored) == len(set(stored)) == sent - sum(counts["dropped"].values())


@pytest.mark.parametrize("name", INPUTS)
def test_behind_a_dead_output_what_was_sent_is_accepted_or_counted(tmp_path: Path, name: str) -> None:
    """More than the queue holds: the sender is not held up, and every record is in the queue or counted as dropped."""
    sent, record = 50_000, b'{"pad": "%s"}\n'
    with Served(tmp_path, {name: INPUTS[name]}) as agent:
        config = yaml.safe_load(agent.config_file.read_text())
        config["queue"]["max_bytes"] = "32MiB"
        config["outputs"] = [{"type": "elasticsearch", "hosts": ["http://127.0.0.1:1"]}]
        agent.config_file.write_text(yaml.safe_dump(config))
        agent.start()
        agent.wait_until_said("An input is listening")
        datagrams = name in ("udp", "datagram")
        with _client(agent, name) as client:
            for _ in range(sent // 100):
                lines = [record % os.urandom(1000).hex().encode() for _ in range(100)]
                for data in lines if datagrams else [b"".join(lines)]:
                    client.sendall(data)
        deadline = time.monotonic() + 60
        while agent.ledger()["inputs"].get(name, {"accepted": 0})["accepted"] < sent:
            assert time.monotonic() < deadline, agent.ledger()
            time.sleep(0.05)
        ledger = agent.ledger()
        counts = ledger["inputs"][name]
        assert counts["accepted"] == sent
        assert sum(counts["dropped"].values()) > 0
        assert ledger["appended"] == sent - sum(counts["dropped"].values())


def _client(agent: Served, name: str) -> socket.socket:
    """A socket connected to an input. One for datagrams waits for room where the kernel lets it."""
    family = socket.AF_UNIX if "unix:" in agent.address(name) else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM if name in ("udp", "datagram") else socket.SOCK_STREAM)
    unix = agent.address(name).removeprefix("unix:")
    client.connect(unix if family == socket.AF_UNIX else ("127.0.0.1", agent.port(name)))
    return client


def test_the_agent_takes_over_a_socket_of_systemd(tmp_path: Path) -> None:
    """`systemd-socket-activate` listens, starts the agent at the first connection, and nothing sent before it was
    ready is lost."""
    activate = debian_command("systemd-socket-activate", "systemd")
    path = tmp_path / "models.sock"
    with Served(tmp_path, {"tcp": {"type": "unix", "listen": "systemd:models"}}) as agent:
        agent.start(
            under=[activate, f"--listen={path}", "--fdname=models", "-E", "PYTHONPATH", "-E", "PATH"], wait=False
        )
        deadline = time.monotonic() + 30
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            while client.connect_ex(str(path)):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            client.sendall(b'{"message": "before it was there"}\n')
            agent.wait_until_said("An input is listening")
            client.sendall(b'{"message": "and after"}\n')
        assert [r["message"] for r in agent.records(2)] == ["before it was there", "and after"]
        assert agent.stop() == 0
