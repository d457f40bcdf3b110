"""Signals that are for the model: forwarded as they come, from our first moment to our last.

They are held back in every thread and waited for in one of its own, because only so is it known who sent them: what a
terminal sends (Ctrl-C) goes to the model as well, and must not reach it twice.
"""

import os
import signal
import threading
from typing import Final

from agent.inputs.exec.child import Child

FORWARDED: Final = frozenset(
    (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    )
)
"""The signals that reach the model. Job control (Ctrl-Z) needs no help: it stops and continues both."""
_FROM_KERNEL: Final = 128
"""``SI_KERNEL`` of ``siginfo_t``: not sent by a process."""


def hold_back() -> None:
    """To be called before any thread is started: what comes until ``forward`` waits for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)


def forward(child: Child) -> None:
    """From now on, for as long as the process lives."""

    def wait_for_signals() -> None:
        while True:
            info = signal.sigwaitinfo(FORWARDED)
            child.send_signal(info.si_signo, has_it=info.si_code == _FROM_KERNEL and _shares_our_terminal(child))

    threading.Thread(target=wait_for_signals, name="exec-signals", daemon=True).start()


def _shares_our_terminal(child: Child) -> bool:
    """Whether the terminal signals the model when it signals us: not if the model made itself a group of its own."""
    try:
        return child.pid != 0 and os.getpgid(child.pid) == os.getpgrp()
    except ProcessLookupError:
        return False
