"""modeltail with a bug: the queue raises what nobody expects once there is a file ``fail`` beside its folder.

python -m tests.e2e.failing_queue exec -c FILE -- COMMAND
"""

from agent.cli import main
from agent.queue.config import OnFull
from agent.queue.group import Entry
from agent.queue.queue import Queue


def _fail_when_told() -> None:
    append = Queue.append

    async def fail_or_append(self: Queue, entry: Entry, on_full: OnFull, patience_secs: float | None = None) -> None:
        if (self.folder.parent / "fail").exists():
            raise RuntimeError("a bug")
        await append(self, entry, on_full, patience_secs)

    Queue.append = fail_or_append  # type: ignore[method-assign]


if __name__ == "__main__":
    _fail_when_told()
    main()
