"""One study's failure is its own, whatever it is; what concerns all is raised; and processes tell why they died."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import ConfigError, CorruptFile, OutputError, ProjectError, WeightsError
from common.workers.failing import Failed, attempt, brief
from common.workers.pool import HERE, failures, shared

ROOT = Path(__file__).parents[3]


class OfALibrary(Exception):
    """Two arguments: it can't be unpickled."""

    def __init__(self, name: str, value: int) -> None:
        super().__init__(f"{name} is {value}")


RAISED = {
    "1.0": OfALibrary("thickness", -1),
    "1.1": MemoryError(),
    "1.2": SystemExit(3),
    "1.3": RecursionError("too deep"),
    "1.4": CorruptFile("a.dcm: cut off; copy it again"),
    "1.5": AssertionError("first line\nsecond line"),
}
REASONS = {
    "1.0": "OfALibrary: thickness is -1",
    "1.1": "MemoryError",
    "1.2": "SystemExit: 3",
    "1.3": "RecursionError: too deep",
    "1.4": "CorruptFile: a.dcm: cut off; copy it again",
    "1.5": "AssertionError: first line second line",
    "1.9": None,
}
WHOLE_RUN = {
    "output": (OutputError("a: can't be written"), OutputError),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), OutputError),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), OutputError),
    "config": (ConfigError("scheme"), ConfigError),
    "weights": (WeightsError("none"), WeightsError),
    "ctrl-c": (KeyboardInterrupt(), KeyboardInterrupt),
}


def fail(uid: str) -> None:
    if uid in RAISED:
        raise RAISED[uid]
    if uid in WHOLE_RUN:
        raise WHOLE_RUN[uid][0]


@pytest.mark.parametrize("workers", [HERE, 2])
def test_whatever_one_study_raises_is_its_own_failure(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "run" / "failures.log"
    assert dict(failures(fail, {uid: (uid,) for uid in REASONS}, workers, log)) == REASONS
    said = log.read_text()
    assert said.count("Traceback (most recent call last)") == 5
    for uid in ("1.0", "1.1", "1.2", "1.3", "1.5"):
        assert f" {uid}\n" in said
    assert "raise RAISED[uid]" in said
    assert "1.4" not in said  # our own errors say all there is to know
    assert "1.9" not in said


@pytest.mark.parametrize("which", WHOLE_RUN)
def test_what_concerns_the_whole_run_is_raised(which: str) -> None:
    with pytest.raises(WHOLE_RUN[which][1]):
        attempt(fail, which)
    if which in ("output", "config"):
        with pytest.raises(WHOLE_RUN[which][1]):
            dict(shared(fail, {uid: (uid,) for uid in ("1.9", which)}, 1))


def test_a_reason_is_one_short_line() -> None:
    assert brief(ValueError("a\n\tb  c")) == "ValueError: a b c"
    assert len(brief(ValueError("x" * 5000))) < 320
    assert brief(KeyError()) == "KeyError"


class Bomb:
    """Can't be unpickled."""

    def __reduce__(self) -> tuple:
        return _explode, ()


def _explode() -> None:
    raise ValueError("no such thing here")


def test_what_cannot_be_unpickled_is_a_failure_not_the_end() -> None:
    with pytest.raises(ValueError, match="no such thing"):
        pickle.loads(pickle.dumps(Bomb()))
    results = dict(shared(repr, {"a": (Bomb(),), "b": (1,)}, 1))
    assert results["b"] == "1"
    assert results["a"].message == "ValueError: no such thing here"


def end(how: str) -> str:
    if how == "exit":
        os.write(2, b"some warning\nTheLibrary: can't go on\n\n")
        os._exit(7)
    if how in ("SIGKILL", "SIGSEGV"):
        os.kill(os.getpid(), getattr(signal, how))
    return how


def test_a_process_says_how_it_ended(capfd: pytest.CaptureFixture) -> None:
    results = dict(shared(end, {how: (how,) for how in ("exit", "SIGKILL", "SIGSEGV", "well")}, 1))
    assert results.pop("well") == "well"
    assert all(isinstance(result, Failed) for result in results.values())
    assert "want of memory" in results["SIGKILL"].message
    assert "signal 11, SIGSEGV" in results["SIGSEGV"].message
    assert results["exit"].message.endswith("(exit code 7): TheLibrary: can't go on")
    assert not any("memory" in results[how].message for how in ("exit", "SIGSEGV"))
    assert "some warning" in capfd.readouterr().err  # what they say is still seen


def _run(folder: Path, script: str, **files: str) -> subprocess.CompletedProcess:
    for name, text in {"main": script, **files}.items():
        (folder / f"{name}.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.run(
        [sys.executable, folder / "main.py"], capture_output=True, text=True, env=environment, timeout=1800
    )


JOB = "from common.commandline import run\nfrom common.workers.pool import failures\n"
CALL = "dict(failures(job, {1: (), 2: ()}, 2))"


@pytest.mark.parametrize(
    ("script", "files", "said"),
    [
        # a main module that imports what only the first process can
        (
            f"{JOB}if __name__ != '__main__': import missing_library\n"
            f"from os import getpid as job\nif __name__ == '__main__': run(lambda: {CALL} and 0)",
            {},
            "ModuleNotFoundError: No module named 'missing_library'",
        ),
        # no guard: each process would start others
        (f"{JOB}from os import getpid as job\n{CALL}", {}, "ProjectError: worker processes can't start"),
        # Python itself can't begin
        (
            f"{JOB}import os, sys; from os import getpid as job\nif __name__ == '__main__':\n"
            f"    os.environ['BROKEN'] = '1'; run(lambda: {CALL} and 0)",
            {"sitecustomize": "import os, sys\nif 'BROKEN' in os.environ: sys.exit('site is broken')"},
            "site is broken",
        ),
        # the module of the work itself
        (
            f"import os\n{JOB}from work import job\nif __name__ == '__main__':\n"
            f"    os.environ['BROKEN'] = '1'; run(lambda: {CALL} and 0)",
            {"work": "import os\nif 'BROKEN' in os.environ: import missing_part\ndef job(): pass"},
            "No module named 'missing_part'",
        ),
    ],
    ids=["import", "no guard", "sitecustomize", "work"],
)
def test_processes_that_cannot_start_show_their_own_error(
    tmp_path: Path, script: str, files: dict[str, str], said: str
) -> None:
    done = _run(tmp_path, script, **files)
    assert done.returncode == ProjectError.exit_code
    last = done.stderr.strip().splitlines()[-1]
    assert said in (last if "guard" not in said else done.stderr)
    assert "memory" not in done.stderr


def test_what_a_reader_of_headers_says_is_kept_nowhere() -> None:
    """pydicom quotes values in its errors, and one of ours may be raised while such an error is handled."""
    from pydicom.valuerep import DSfloat

    def quoted() -> None:
        DSfloat("Doe^Jane")

    def led_to() -> None:
        try:
            quoted()
        except ValueError as error:
            raise KeyError(f"not a number: {error}") from None

    for function, name in ((quoted, "ValueError"), (led_to, "KeyError")):
        failed = attempt(function)
        assert failed.message == f"{name}: (its message is left out, since it may quote a header)"
        assert "Doe" not in failed.traceback.replace('DSfloat("Doe^Jane")', "") and __file__ in failed.traceback
