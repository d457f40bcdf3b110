"""A trickle of requests to the example model: flowers nobody has measured, and now and then nonsense."""

import http.client
import json
import random
import threading
import uuid
from collections.abc import Iterator

from examples.model.iris import FEATURES, load

REQUESTS_PER_SEC = 10.0
REQUEST_TIMEOUT_SECS = 5.0
GOOD_SHARE = 0.95
MEASURING_ERROR_CM = 0.25
NONSENSE = (b"{not json", b'{"sepal_length": 5.1}', json.dumps(dict.fromkeys(FEATURES, "about five")).encode())


def bodies(rng: random.Random) -> Iterator[bytes]:
    """Request bodies without end."""
    flowers = load()[0].rows
    while True:
        if rng.random() < GOOD_SHARE:
            measured = [round(max(0.1, rng.gauss(cm, MEASURING_ERROR_CM)), 2) for cm in rng.choice(flowers)]
            yield json.dumps(dict(zip(FEATURES, measured, strict=True))).encode()
        else:
            yield rng.choice(NONSENSE)


class Traffic:
    """Asks the model from a thread of its own until told to stop. ``sent`` counts the requests that were answered."""

    def __init__(self, host: str, port: int) -> None:
        self.sent = 0
        self._address = (host, port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait for the answer under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random()
        requests = bodies(rng)
        while not self._stop.wait(rng.expovariate(REQUESTS_PER_SEC)):
            try:
                self._send(next(requests))
            except (OSError, http.client.HTTPException):
                continue  # the model is going away; whoever started it sees that too
            self.sent += 1

    def _send(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=REQUEST_TIMEOUT_SECS)
        try:
            headers = {"Content-Type": "application/json", "X-Request-Id": str(uuid.uuid4())}
            connection.request("POST", "/predict", body, headers)
            connection.getresponse().read()
        finally:
            connection.close()
