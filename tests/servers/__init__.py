"""Starts the real servers the tests and the benchmarks talk to, on loopback, from a cache folder outside the tree."""

import os
from typing import NoReturn


class ServerUnavailable(Exception):
    """A real server cannot be had on this machine. The message says what is missing and how to get it."""


def unavailable(error: ServerUnavailable) -> NoReturn:
    """Skip the test that needed the server, saying why; where ``CI`` is set, fail it."""
    import pytest

    if os.environ.get("CI"):
        pytest.fail(f"a real server is needed: {error}", pytrace=False)
    pytest.skip(f"A REAL SERVER IS MISSING: {error}")
