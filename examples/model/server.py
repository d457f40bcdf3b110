"""The example model behind HTTP: it trains, then answers ``POST /predict`` and logs every answer as a line of JSON.

    python -m examples.model LOG_FILE

It prints its address when it is ready, and ends on SIGTERM, SIGINT, or when its standard input is closed. The log is
what a model's log usually is: the standard library's logging, a JSON formatter, and a handler that rotates.
"""

import json
import logging
import logging.handlers
import os
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from examples.model.classifier import NaiveBayes
from examples.model.iris import FEATURES, load

LOG_BYTES = 2_000_000
LOG_FILES = 3
MAX_BODY_BYTES = 64 * 1024
DOUBTFUL_BELOW = 0.75
"""Answers less sure than this are logged as a warning."""

_log = logging.getLogger("iris.predict")


def set_up_logging(path: Path) -> None:
    """JSON lines to a file that rotates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            timestamp=True,
            rename_fields={"levelname": "level", "name": "logger"},
        )
    )
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def train() -> NaiveBayes:
    """A model trained on the data set, its accuracy measured on flowers it has not seen, and logged."""
    began = time.perf_counter()
    known, unseen = load()
    model = NaiveBayes.fit(*known)
    logging.getLogger("iris.train").info(
        "model trained",
        extra={
            "metrics": {"accuracy": model.accuracy(*unseen), "train_rows": len(known.rows)},
            "duration": time.perf_counter() - began,
        },
    )
    return model


class _Handler(BaseHTTPRequestHandler):
    server: "ModelServer"

    def do_POST(self) -> None:
        """Answer ``/predict``: the measures of one flower in, the probability of each species out."""
        request_id = self.headers.get("X-Request-Id") or uuid.uuid4().hex[:12]
        size = int(self.headers.get("Content-Length", "0"))
        if self.path != "/predict" or not 0 < size <= MAX_BODY_BYTES:
            self._answer(404, {"error": "POST the measures of one flower to /predict"})
            return
        body = self.rfile.read(size)
        try:
            status, answer = self.server.predict(body, request_id)
        except Exception:
            _log.exception("prediction failed", extra={"request_id": request_id, "body": body.decode(errors="replace")})
            status, answer = 500, {"error": "the model failed; its log says why"}
        self._answer(status, answer)

    def _answer(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: each prediction is logged with what was asked and answered."""


class ModelServer(ThreadingHTTPServer):
    """The model on a free port of the loopback address."""

    daemon_threads = True

    def __init__(self, model: NaiveBayes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model

    def predict(self, body: bytes, request_id: str) -> tuple[int, Mapping[str, object]]:
        """The HTTP status and the answer. Raises what a model raises when its input is not what it was built for."""
        began = time.perf_counter()
        inputs = json.loads(body)
        missing = [feature for feature in FEATURES if feature not in inputs]
        if missing:
            _log.warning("input refused", extra={"request_id": request_id, "inputs": inputs, "missing": missing})
            return 400, {"error": f"missing: {', '.join(missing)}"}
        found = self.model.probabilities([float(inputs[feature]) for feature in FEATURES])
        species = max(found, key=found.__getitem__)
        confidence = found[species]
        sure = confidence >= DOUBTFUL_BELOW
        _log.log(
            logging.INFO if sure else logging.WARNING,
            "prediction served" if sure else "prediction in doubt",
            extra={
                "request_id": request_id,
                "inputs": inputs,
                "outputs": {"species": species, "probabilities": found},
                "metrics": {"confidence": confidence},
                "batch_size": 1,
                "latency_ms": round((time.perf_counter() - began) * 1000, 3),
            },
        )
        return 200, {"species": species, "confidence": confidence}


def serve(log_file: Path) -> None:
    """Train, answer until asked to stop, end."""
    set_up_logging(log_file)
    with ModelServer(train()) as server:
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        host, port = server.server_address[:2]
        print(f"http://{host!s}:{port}", flush=True)
        stop.wait()
        server.shutdown()
        answering.join()


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(0, 4096):  # not through sys.stdin: its lock, held here, would keep the interpreter from ending
        pass
    stop.set()
