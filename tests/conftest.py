"""What all tests share: the real servers, bounded property tests, and the watch over what a test leaves behind."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import ServerUnavailable, unavailable
from tests.servers.elasticsearch import ElasticsearchServer, elasticsearch_server
from tests.servers.opensearch import OpensearchServer, opensearch_server

THREAD_GOODBYE_SECS = 2.0
"""How long a thread may take to end after its test."""

# A shell that runs the tests in the background ignores Ctrl-C, and so would every program the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Deadlines measure the machine. In continuous integration the same examples run every time: a failure there is one
# of the change's, and can be repeated; new examples are looked for on people's own machines.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, max_examples=100, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def _server(version: str, users: dict[str, tuple[str, str]] | None = None) -> Iterator[ElasticsearchServer]:
    try:
        with elasticsearch_server(version, users=users) as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[ElasticsearchServer]:
    """The real Elasticsearch, newest supported version. Shared: use data streams of your own."""
    yield from _server("9.2.0")


@pytest.fixture(scope="session")
def elasticsearch_8() -> Iterator[ElasticsearchServer]:
    """The real Elasticsearch, oldest supported version. Shared likewise."""
    yield from _server("8.19.0")


@pytest.fixture(scope="session")
def secured_elasticsearch() -> Iterator[ElasticsearchServer]:
    """The real Elasticsearch with security on: user ``writer``, password ``writer-password``, may do everything."""
    yield from _server("9.2.0", users={"writer": ("writer-password", "superuser")})


@pytest.fixture(scope="session")
def opensearch() -> Iterator[OpensearchServer]:
    """The real OpenSearch. Shared: use data streams of your own."""
    try:
        with opensearch_server() as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


@pytest.fixture(autouse=True)
def nothing_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that leaves a thread behind, or a task when its event loop closes: what nobody awaits, nobody sees
    fail."""
    leaked: list[str] = []
    close = asyncio.Runner.close

    def close_watched(runner: asyncio.Runner) -> None:
        loop = runner.get_loop()
        if not loop.is_closed():
            leaked.extend(str(task) for task in asyncio.all_tasks(loop))
        close(runner)

    monkeypatch.setattr(asyncio.Runner, "close", close_watched)
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREAD_GOODBYE_SECS
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    leaked += [str(thread) for thread in set(threading.enumerate()) - before]
    assert not leaked, f"left running: {leaked}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where it is read: a skipped test proves nothing."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("NOT TESTED HERE", sep="!", yellow=True, bold=True)
        for reason, count in reasons.items():
            terminalreporter.line(f"{count} {'test' if count == 1 else 'tests'}: {reason}", yellow=True)
