"""Telling systemd how we are: ``sd_notify`` over its datagram socket.

The protocol is in systemd's ``sd_notify(3)``: newline-separated assignments to the address in ``NOTIFY_SOCKET``; an
address that begins with ``@`` is in the abstract namespace. Without the variable nobody listens and nothing is sent.
"""

import os
import socket


def notify(state: str) -> bool:
    """Send ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` or ``STATUS=…``. False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.sendto(state.encode(), target)
    except OSError:
        return False  # the supervisor has gone; delivery goes on
    return True


def watchdog_interval_secs() -> float | None:
    """How often to feed the watchdog: half of what systemd allows, or None when it does not watch this process."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not micros.isdecimal() or int(micros) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000
