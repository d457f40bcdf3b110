"""Killing the agent again and again: at which moments, and what came of it."""

import random
import textwrap
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from tests.e2e.agent_process import AgentProcess

AT_ONCE_SECS = 0.05
"""How soon after an event a kill "at" it comes, at most."""
STEADY_SECS = 2.0
PATIENCE_SECS = 5.0
"""How long to wait for an event; then the kill comes without it."""

BEGIN = "<!-- soak -->"
END = "<!-- end of soak -->"


class Killer:
    """Kills an agent at moments of every kind, in an order drawn from the seed. The agent is started before each."""

    def __init__(self, agent: AgentProcess, log: Path, seed: int) -> None:
        self._agent = agent
        self._log = log
        self._rng = random.Random(seed)
        self._start_secs = 0.5
        self.kinds: dict[str, Callable[[], None]] = {
            "start": self._within_a_start,
            "recovery": self._before_it_is_ready,
            "ready": self._just_ready,
            "steady": self._at_work,
            "rotation": self._at_a_rotation,
            "trimming": self._at_a_trim,
        }

    def moments(self, kills: int) -> list[str]:
        """The kinds of so many kills: as many of each, in a drawn order."""
        kinds = [list(self.kinds)[i % len(self.kinds)] for i in range(kills)]
        self._rng.shuffle(kinds)
        return kinds

    def kill(self, kind: str) -> None:
        """Start the agent, kill it at a moment of this kind."""
        self._agent.start(wait=False)
        self.kinds[kind]()
        assert self._agent.process.poll() is None, f"the agent ended by itself:\n{self._agent.log_text()}"
        self._agent.kill()

    def _within_a_start(self) -> None:
        time.sleep(self._rng.uniform(0, AT_ONCE_SECS))

    def _before_it_is_ready(self) -> None:
        time.sleep(self._rng.uniform(0, self._start_secs))

    def _just_ready(self) -> None:
        self._wait_until_ready()
        time.sleep(self._rng.uniform(0, AT_ONCE_SECS))

    def _at_work(self) -> None:
        self._wait_until_ready()
        time.sleep(self._rng.uniform(AT_ONCE_SECS, STEADY_SECS))

    def _at_a_rotation(self) -> None:
        self._wait_until_ready()
        self._wait_for_change(lambda: _inode(self._log))
        time.sleep(self._rng.uniform(0, AT_ONCE_SECS))

    def _at_a_trim(self) -> None:
        self._wait_until_ready()
        self._wait_for_change(lambda: min((path.name for path in self._agent.queue.glob("*.seg")), default=""))
        time.sleep(self._rng.uniform(0, AT_ONCE_SECS))

    def _wait_until_ready(self) -> None:
        began = time.monotonic()
        self._agent.wait_until_ready()
        self._start_secs = time.monotonic() - began

    def _wait_for_change(self, look: Callable[[], object]) -> None:
        before, end = look(), time.monotonic() + PATIENCE_SECS
        while look() == before and time.monotonic() < end:
            time.sleep(0.001)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


class Found(msgspec.Struct):
    """What one output holds of ``written`` records numbered from 0."""

    output: str
    written: int
    delivered: int
    doubles: int
    missing: int

    @classmethod
    def of(cls, output: str, written: int, numbers: Iterable[int]) -> "Found":
        """Count."""
        seen: set[int] = set()
        delivered = 0
        for number in numbers:
            delivered += 1
            seen.add(number)
        return cls(output, written, delivered, delivered - len(seen), len(set(range(written)) - seen))

    @property
    def exact(self) -> bool:
        """Every record once, and nothing else."""
        return self.delivered == self.written and not self.doubles and not self.missing


class Soak(msgspec.Struct):
    """One soak: its kills by kind, how long they took, and what the outputs held afterwards."""

    seed: int
    kills: dict[str, int]
    secs: float
    found: list[Found]

    def table(self) -> str:
        """As Markdown."""
        kills = sum(self.kills.values())
        kinds = ", ".join(f"{number} at {kind}" for kind, number in self.kills.items())
        said = (
            f"`make soak` on {time.strftime('%Y-%m-%d', time.gmtime())}, seed {self.seed}: {kills} times SIGKILL "
            f"({kinds}), {kills / self.secs:.2f} starts a second, one agent with both outputs."
        )
        cells = [(f.output, kills, f"{f.written:,}", f"{f.delivered:,}", f.doubles, f.missing) for f in self.found]
        return "\n".join(
            [
                textwrap.fill(said, 118),
                "",
                "| output | kills | records written | delivered | doubles | missing |",
                "| --- | ---: | ---: | ---: | ---: | ---: |",
                *(f"| {' | '.join(map(str, row))} |" for row in cells),
            ]
        )


def fill_in(document: str, text: str) -> str:
    """The document with what stands between its markers replaced."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    assert begin, "the document has no markers for the soak's table"
    assert end, "the document has no markers for the soak's table"
    return f"{head}{begin}\n{text}\n{end}{tail}"


def counted(kinds: Collection[str]) -> dict[str, int]:
    """How many of each."""
    return {kind: list(kinds).count(kind) for kind in sorted(set(kinds))}
