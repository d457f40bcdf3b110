"""``make run``: the example model, a trickle of requests to it, and modeltail beside it, until Ctrl-C.

    python -m examples.run [--for 15s]

Everything is kept below ``.modeltail/`` in this folder, so a second run goes on where the first one ended. The exit
status is 0 when records were stored and the ledger balances.
"""

import argparse
import fcntl
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from examples.child import CONFIG, STATE, Child, RunFailed
from examples.status import Status, free_port, ledger_on_disk, print_ledger, stored
from examples.traffic import Traffic

LOG = STATE / "logs" / "model.log"
AGENT_LOG = STATE / "agent.log"
LOCK = STATE / "lock"

TELL_AFTER_SECS = 5.0
"""When the number of stored records and the suggestions are printed, counted from the start."""
READY_WITHIN_SECS = 30.0
STOP_WITHIN_SECS = 40.0
"""Longer than the agent's own grace, which is what ends it otherwise."""
PROGRESS_SECS = 10.0
"""Between two lines of progress where the output is not a terminal."""

SUGGESTIONS = """
Try, in another terminal:
  {command} search 'level>=warning' --since 10m    # what the model doubted or refused
  {command} search 'species:virginica confidence<0.9' --json
  {command} search --follow
  {command} ledger    # what became of every record
  curl {status}/metrics

The model logs to {log}, modeltail to {agent_log}. Ctrl-C ends both.
"""


class Example:
    """The model, the requests and the agent, from the start of the first to the end of the last."""

    def __init__(self, run_secs: float | None) -> None:
        self._stop = threading.Event()
        self._run_secs = run_secs
        self._began = time.monotonic()
        self._status = Status(free_port())
        self._children: list[Child] = []
        self._traffic: Traffic | None = None
        self.began_log = False
        """Whether ``AGENT_LOG`` is of this run."""

    def ask_to_stop(self) -> None:
        """End in order; asked again, end at once."""
        if self._stop.is_set():
            for child in self._children:
                child.process.kill()
        self._stop.set()

    def run(self) -> None:
        """Run until asked to stop or until the time is over. Leaves no process behind, whatever happens."""
        STATE.mkdir(exist_ok=True)
        with LOCK.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFailed(f"it is running already: {os.path.relpath(LOCK)} is held") from None
            try:
                self._start()
                self._watch()
            except BaseException:
                self._end()
                raise
            if not self._end():
                raise RunFailed("not everything ended well")

    def _start(self) -> None:
        model = Child("the model", "examples.model", str(LOG))
        self._children.append(model)
        port = {"MODELTAIL_STATUS_PORT": str(self._status.port)}
        with AGENT_LOG.open("wb") as log:
            self.began_log = True
            agent = Child("modeltail", "agent", "run", "-c", str(CONFIG), log=log, more=port)
        self._children.append(agent)
        address = model.first_line()
        print(f"The example model is trained and answers on {address}/predict", flush=True)
        host, _, number = address.removeprefix("http://").rpartition(":")
        self._traffic = Traffic(host, int(number))
        self._traffic.start()
        while self._status.ledger() is None and not self._stop.is_set():
            agent.check()
            if time.monotonic() - self._began > READY_WITHIN_SECS:
                raise RunFailed(f"modeltail did not answer on {self._status.address}")
            self._stop.wait(0.1)

    def _watch(self) -> None:
        terminal = sys.stdout.isatty()
        next_line = min(TELL_AFTER_SECS, self._run_secs or TELL_AFTER_SECS)
        told = False
        while not self._stop.is_set() and not self._is_over():
            self._stop.wait(0.25)
            for child in self._children:
                child.check()
            elapsed = time.monotonic() - self._began
            if elapsed >= next_line:
                print(self._progress(), flush=True)
                if not told:
                    self._suggest()
                told = True
                next_line = float("inf") if terminal else next_line + PROGRESS_SECS
            elif told and terminal:
                print(f"\r\033[K{self._progress()}", end="", flush=True)
        if terminal:
            print("\r\033[K", end="", flush=True)

    def _is_over(self) -> bool:
        return self._run_secs is not None and time.monotonic() - self._began >= self._run_secs

    def _progress(self) -> str:
        ledger = self._status.ledger()
        line = ledger["outputs"].get("local") if ledger else None
        sent = self._traffic.sent if self._traffic else 0
        return f"{stored(ledger):,} records stored, {line['queued'] if line else 0:,} queued; {sent:,} requests sent"

    def _suggest(self) -> None:
        command = Path(sys.executable).with_name("modeltail")
        places = {"command": command, "log": LOG, "agent_log": AGENT_LOG}
        shown = {name: os.path.relpath(path) for name, path in places.items()}
        print(SUGGESTIONS.format(**shown, status=self._status.address), flush=True)

    def _end(self) -> bool:
        """Requests first, then the model, then the agent, so that what the model wrote last is stored too."""
        self._stop.set()
        if self._traffic is not None:
            self._traffic.stop()
        return all([child.end(STOP_WITHIN_SECS) for child in self._children])


def seconds(text: str) -> float:
    """A time as people write it: ``15s``, ``2m``, ``1h``, or a bare number of seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 15s, 2m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def main() -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make run")
    parser.add_argument("--for", dest="run_secs", type=seconds, metavar="TIME", help="end by itself: 15s, 2m, 1h")
    run_secs: float | None = parser.parse_args().run_secs
    example = Example(run_secs)
    try:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: example.ask_to_stop())
        before = stored(ledger_on_disk())
        example.run()
    except RunFailed as failure:
        print(f"make run: {failure}", file=sys.stderr)
        if example.began_log:
            print(f"The end of {os.path.relpath(AGENT_LOG)}:", file=sys.stderr)
            print("\n".join(AGENT_LOG.read_text(errors="replace").splitlines()[-10:]), file=sys.stderr)
        return 1
    balances = print_ledger()
    new = stored(ledger_on_disk()) - before
    print(f"\n{new:,} records were stored in this run. They stay in {os.path.relpath(STATE)}/ for the next one.")
    return 0 if balances and new else 1


if __name__ == "__main__":
    sys.exit(main())
