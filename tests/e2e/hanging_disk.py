"""modeltail on a disk that hangs: no sync of the queue returns once there is a file ``hang`` beside the queue's folder.

    python -m tests.e2e.hanging_disk run -c FILE

A real disk that hangs cannot be had without one that also holds the test's own process.
"""

import os
import threading

from agent.cli import main
from agent.queue.disk import RealDisk


def _hang_when_told() -> None:
    sync = RealDisk.sync

    def hang_or_sync(self: RealDisk, handle: int) -> None:
        folder = os.path.dirname(os.readlink(f"/proc/self/fd/{handle}"))
        if os.path.exists(os.path.join(folder, "..", "hang")):
            threading.Event().wait()
        sync(self, handle)

    RealDisk.sync = hang_or_sync  # type: ignore[method-assign]


if __name__ == "__main__":
    _hang_when_told()
    main()
