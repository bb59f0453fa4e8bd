"""Memory that a process keeps instead of giving it back, and unused objects that it looks for rarely."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import resource, sys
from common.workers.memory import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
faults = []
for _ in range(2):
    parts = [b"x" * 2**24 for _ in range(8)]
    del parts
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[1] - faults[0])
"""


def new_pages(how: str) -> int:
    """That the system gives a process for the second 8 times 16 MB of which it has given the first back."""
    words = [sys.executable, "-c", WORK, how]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what other libraries do is their business")
def test_what_was_given_once_is_used_again() -> None:
    assert new_pages("kept") < 1000 < new_pages("not")


def test_unused_objects_are_looked_for_rarely_and_found() -> None:
    """100,000 new lists, each within itself: the first 50,000 are gone by then."""
    work = """
import gc
from common.workers.memory import look_rarely
look_rarely()
before = gc.get_stats()[0]
for _ in range(100_000):
    one = []
    one.append(one)
after = gc.get_stats()[0]
print(after["collections"] - before["collections"], after["collected"] - before["collected"])
"""
    done = subprocess.run(
        [sys.executable, "-c", work], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    rounds, found = map(int, done.stdout.split())
    assert 1 <= rounds <= 3 and found >= 49_000


def test_the_end_looks_through_nothing_and_still_closes_files(tmp_path: Path) -> None:
    """What is registered before is asked after it: thousands of objects are left alone by then."""
    work = f"""
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))
from common.workers.memory import end_at_once
end_at_once()
stream = open({str(tmp_path / "left_open")!r}, "w")
stream.write("whole")
print(gc.get_freeze_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", work], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    before, after = map(int, done.stdout.split())
    assert before < 1000 < after
    assert (tmp_path / "left_open").read_text() == "whole"
