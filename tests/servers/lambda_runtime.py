"""AWS Lambda on loopback: AWS's own runtime client for Python runs a function from its zip, against an API of ours.

    with LambdaFunction(zip, handler, environment, folder) as function:
        function.invoke(event)

As in Lambda: the process starts with the first invocation and is kept for the next ones; it is killed at the time limit
and when it fails to start; a new one is started then. What a function prints is in ``log()``.
"""

import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

NAME = "modeltail"
_API = "/2018-06-01/runtime"
_TURN_SECS = 0.05
_ARN = f"arn:aws:lambda:eu-central-1:123456789012:function:{NAME}"


class FunctionFailed(Exception):
    """The function raised an error, ended or did not start. ``kind`` is the error's type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class FunctionTimedOut(Exception):
    """The function was killed at its time limit."""


class _Invocation(NamedTuple):
    request: str
    event: bytes
    deadline_millis: int


class _Api(http.server.ThreadingHTTPServer):
    """The Runtime API of one process. It ends with it, so that no request of a killed process takes an event."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.events: queue.Queue[_Invocation] = queue.Queue()
        self.results: queue.Queue[tuple[str, str, bytes]] = queue.Queue()
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": _TURN_SECS})
        self._thread.start()

    def close(self) -> None:
        """End it and every request in hand."""
        self.closed.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that was killed does not read its answer."""


class _Answers(http.server.BaseHTTPRequestHandler):
    server: _Api

    def do_GET(self) -> None:
        assert self.path == f"{_API}/invocation/next", self.path
        while not self.server.closed.is_set():
            try:
                invocation = self.server.events.get(timeout=_TURN_SECS)
            except queue.Empty:
                continue
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_millis))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", _ARN)
            self.send_header("Lambda-Runtime-Trace-Id", "Root=1-0-0")
            self.send_header("Content-Length", str(len(invocation.event)))
            self.end_headers()
            self.wfile.write(invocation.event)
            return

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers.get("Lambda-Runtime-Function-Error-Type", "")
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.results.put((self.path.removeprefix(_API), kind, body))

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


class LambdaFunction:
    """A function and its process. ``kills`` counts how often it was killed."""

    def __init__(
        self, code: Path, handler: str, environment: Mapping[str, str], folder: Path, timeout_secs: float = 30.0
    ) -> None:
        self.timeout_secs = timeout_secs
        self.environment = dict(environment)
        self.kills = 0
        self._handler = handler
        self._folder = folder / "task"
        self._log = folder / "function.log"
        with zipfile.ZipFile(code) as archive:
            archive.extractall(self._folder)
        self._api: _Api | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Lock()

    def __enter__(self) -> "LambdaFunction":
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def invoke(self, event: object) -> Any:
        """Invoke it, one call at a time. Its answer; ``FunctionFailed`` or ``FunctionTimedOut`` if there is none."""
        if self._api is None:
            self._start()
        api = self._api
        assert api is not None
        request = str(uuid.uuid4())
        limit = time.monotonic() + self.timeout_secs
        api.events.put(_Invocation(request, json.dumps(event).encode(), int((time.time() + self.timeout_secs) * 1000)))
        while True:
            try:
                path, kind, body = api.results.get(timeout=_TURN_SECS)
            except queue.Empty:
                if api.closed.is_set():
                    raise FunctionFailed("Killed", "the function's process was killed") from None
                if not self._process_runs():
                    self._end()
                    raise FunctionFailed("Runtime.ExitError", self.log()[-2000:]) from None
                if time.monotonic() > limit:
                    self.kill()
                    raise FunctionTimedOut(f"after {self.timeout_secs} s") from None
                continue
            if path == f"/invocation/{request}/response":
                return json.loads(body)
            if path.startswith("/init/"):
                self._end()
            raise FunctionFailed(kind, body.decode())

    @property
    def pid(self) -> int:
        """Of its process, which is there from the first invocation on."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End its process at once, also in the middle of an invocation; from any thread."""
        self.kills += 1
        self._end()

    def log(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def logged(self) -> list[dict[str, Any]]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def _process_runs(self) -> bool:
        process = self._process
        return process is not None and process.poll() is None

    def _start(self) -> None:
        self._api = _Api()
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": NAME,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "LAMBDA_TASK_ROOT": str(self._folder),
            "PYTHONPATH": str(self._folder),
            **self.environment,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", self._handler],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._folder,
            )

    def _end(self) -> None:
        with self._ending:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None
            if self._api is not None:
                self._api.close()
                self._api = None
