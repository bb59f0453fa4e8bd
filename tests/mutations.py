"""Breaks one line of the code at a time and asks whether the tests named for it notice: python -m tests.mutations.

`mutations.toml` is the list. A mutation that its tests let pass has survived, and the exit code is 1; so it is when a
line of the list is no longer in its file, or when a test fails on the code as it is.
"""

import argparse
import importlib
import os
import shutil
import signal
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("common", "stage1_segment", "stage2_classify", "tests", "configs", "pyproject.toml")
LIBRARIES = ("torch", "monai.inferers", "lightning_fabric", "albumentations", "scipy.optimize", "SimpleITK", "pandas")
PASSED, FAILED, BROKEN = 0, 1, 2
"""pytest's exit codes; 2: a test file can't be imported."""
SAID = "said.txt"
LONGEST_S = 900
"""A mutation may make a loop that never ends; that is noticed, too."""


@dataclass(frozen=True)
class Mutation:
    """In `file`, `old` (once in it) becomes `new`; `tests` as pytest takes them, below tests/. `what`: in words."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def load(path: Path = ROOT / "tests" / "mutations.toml") -> list[Mutation]:
    """The list. Raises TypeError for an entry that lacks something."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in table]


def outdated(mutation: Mutation, root: Path = ROOT) -> bool:
    """Whether the line that is to be broken isn't there, or is there more than once."""
    path = root / mutation.file
    return not path.exists() or path.read_text(encoding="utf-8").count(mutation.old) != 1


def run_tests(folder: Path, tests: tuple[str, ...]) -> int:
    """pytest's exit code for some tests of the copy in `folder`, in a process forked from this one, which has imported
    the libraries once for all."""
    if (pid := os.fork()) == 0:
        code = BROKEN
        try:
            os.setsid()
            said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.chdir(folder)
            sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
            # Without .pyc files: they are taken for current by size and second, and mutations come faster.
            sys.dont_write_bytecode = True
            os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(folder))
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)])
        finally:
            os._exit(code)
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return FAILED


def outcome(folder: Path, mutation: Mutation) -> str:
    """killed, survived, outdated, or `no answer` when pytest found no such test. The copy is left as it was."""
    if outdated(mutation, folder):
        return "outdated"
    path = folder / mutation.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        code = run_tests(folder, mutation.tests)
    finally:
        path.write_text(whole, encoding="utf-8")
    return {PASSED: "survived", FAILED: "killed", BROKEN: "killed"}.get(code, f"no answer (pytest ended with {code})")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="numbers of mutations, from 1")
    parser.add_argument("--list", action="store_true", help="only say what there is, and what is outdated")
    asked = parser.parse_args(arguments)
    chosen = [(n, m) for n, m in enumerate(load(), start=1) if not asked.only or n in asked.only]
    if asked.list:
        for number, mutation in chosen:
            print(f"{number:3} {mutation.file}: {mutation.what}{'  OUTDATED' if outdated(mutation) else ''}")
        return int(any(outdated(mutation) for _, mutation in chosen))

    os.environ["OMP_NUM_THREADS"] = "1"
    for library in LIBRARIES:
        importlib.import_module(library)
    with TemporaryDirectory(prefix="mutations-") as name:
        folder = Path(name)
        for part in COPIED:
            source, copy = ROOT / part, folder / part
            ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
            shutil.copytree(source, copy, ignore=ignored) if source.is_dir() else shutil.copy(source, copy)
        tests = tuple(sorted({test for _, mutation in chosen for test in mutation.tests}))
        if run_tests(folder, tests) != PASSED:
            print("the tests don't pass on the code as it is:", (folder / SAID).read_text(), file=sys.stderr)
            return 1
        found = []
        for number, mutation in chosen:
            found.append(outcome(folder, mutation))
            print(f"{number:3} {found[-1]:9} {mutation.file}: {mutation.what}", flush=True)
    print(f"{found.count('killed')} of {len(found)} killed")
    return int(found.count("killed") < len(found))


if __name__ == "__main__":
    sys.exit(main())
