"""What becomes of the model's output when the agent has failed: passed on as it comes, by a thread for each stream."""

import os
import select
import threading
from collections.abc import Mapping

from agent.inputs.lines import BLOCK_BYTES


def relay(pipes: Mapping[str, int]) -> None:
    """Pass on what comes through these pipes (standard output and error, in this order) for as long as they are open,
    in the background. Where our own are closed it is read all the same, so that the model never meets a full pipe."""
    for number, (name, fd) in enumerate(pipes.items(), 1):
        threading.Thread(target=_copy, args=(fd, number), name=f"relay-{name}", daemon=True).start()


def _copy(source: int, target: int) -> None:
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    broken = False
    while True:
        waiting.poll()
        data = os.read(source, BLOCK_BYTES)
        if not data:
            return
        left = memoryview(data)
        while left and not broken:
            try:
                left = left[os.write(target, left) :]
            except OSError:
                broken = True
