"""The watch over what a test leaves behind does see it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREAD = """
def test_it():
    threading.Thread(target=time.sleep, args=(30,), daemon=True, name="forgotten").start()
"""
TASK = """
def test_it():
    async def main():
        tasks.append(asyncio.create_task(asyncio.sleep(30), name="forgotten"))
    tasks = []
    asyncio.run(main())
"""
TIDY = """
def test_it():
    async def main():
        await asyncio.create_task(asyncio.to_thread(time.sleep, 0))
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("test", "leaves_something"), [(THREAD, True), (TASK, True), (TIDY, False)], ids=["thread", "task", "tidy"]
)
def test_what_is_left_running_fails_the_test(tmp_path: Path, test: str, leaves_something: bool) -> None:
    """A thread, or a task that was still pending when its loop closed; what has ended is no leak."""
    imports = "import asyncio, threading, time\nfrom tests.conftest import nothing_left_running\n"
    (tmp_path / "test_it.py").write_text(imports + test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ("forgotten" in done.stdout) is leaves_something, done.stdout
    assert done.returncode == (1 if leaves_something else 0)
