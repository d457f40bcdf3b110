"""The signals that ask the agent to stop, from its first moment to its last: a stop that comes while it is still
starting, or ending already, is a stop like any other."""

import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def hold_back() -> None:
    """Until there is somebody to answer. As the first process of a container we would never be told otherwise."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def let_through() -> None:
    """What was held back arrives now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def ignore() -> None:
    """The end has come: one more must not change the exit status."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
