"""A lock for each study's output: one makes it, others come back to it, and what the dead hold is taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import RunBusy, StudyBusy
from common.outputs import study_lock
from common.outputs.lock import only_one
from common.outputs.study_lock import is_being_made, only_one_makes
from common.workers.failing import attempt
from common.workers.pool import HERE, shared

ROOT = Path(__file__).parents[3]


def holder(block: str) -> subprocess.Popen:
    """A process that is inside of `block` and stays there."""
    code = (
        "import time; from pathlib import Path; from common.outputs.lock import only_one\n"
        "from common.outputs.study_lock import only_one_makes\n"
        f"with {block}: print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_one_makes_and_the_lock_of_a_killed_one_is_taken_over(tmp_path: Path) -> None:
    output = tmp_path / "masks" / "1.2.nii.gz"
    first = holder(f"only_one_makes(Path({str(output)!r}))")
    try:
        assert is_being_made(output)
        with pytest.raises(StudyBusy, match=r"1\.2\.nii\.gz: another process"), only_one_makes(output):
            pass
        failed = attempt(_make, output, [])
        assert failed.busy
        with only_one_makes(output.with_name("1.3.nii.gz")):  # another study's
            pass
    finally:
        end(first)
    with only_one_makes(output):
        assert is_being_made(output)
    assert list(output.parent.iterdir()) == []


def test_another_machine_s_lock_is_taken_over_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder's own words but for the machine; it is stopped, so that it gives no sign of life."""
    monkeypatch.setattr(study_lock, "LEASE_S", 1.0)
    monkeypatch.setattr(study_lock, "BEAT_S", 0.2)
    output = tmp_path / "a.npz"
    first = holder(
        f"__import__('contextlib').ExitStack() as stack, "
        f"__import__('unittest.mock').mock.patch('socket.gethostname', lambda: 'elsewhere'), "
        f"__import__('unittest.mock').mock.patch('common.outputs.study_lock.LEASE_S', 1.0), "
        f"__import__('unittest.mock').mock.patch('common.outputs.study_lock.BEAT_S', 0.2), "
        f"only_one_makes(Path({str(output)!r}))"
    )
    try:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:  # it lives: however long we ask, it is his
            with pytest.raises(StudyBusy), only_one_makes(output):
                pass
            time.sleep(0.1)
        first.send_signal(signal.SIGSTOP)
        asked = 0
        while asked < 100:
            asked += 1
            try:
                with only_one_makes(output):
                    break
            except StudyBusy:
                time.sleep(0.1)
        assert 5 < asked < 100
    finally:
        end(first)


def _make(output: Path, made: list) -> str:
    with only_one_makes(output):
        made.append(output.name)
        return output.name


def _say(folder: Path, name: str, processes: int) -> None:
    """Makes a file and says so; it begins when so many processes are there, so that both commands are."""
    (folder / f"here-{os.getpid()}").touch()
    until = time.monotonic() + 120
    while len(list(folder.glob("here-*"))) < processes and time.monotonic() < until:
        time.sleep(0.05)
    with only_one_makes(folder / name):
        if not (folder / name).exists():
            with (folder / "made.txt").open("a") as stream:
                stream.write(f"{name} {os.getpid()}\n")
            time.sleep(0.2)
            (folder / name).touch()


def test_jobs_that_another_is_at_come_after_the_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = holder(f"only_one_makes(Path({str(tmp_path / 'a')!r}))")
    made: list[str] = []
    answers = shared(_make, {name: (tmp_path / name, made) for name in "abc"}, HERE)
    assert [next(answers)[0], next(answers)[0]] == ["b", "c"]
    end(first)
    assert list(answers) == [("a", "a")]
    assert made == ["b", "c", "a"]
    assert capsys.readouterr().err == "waiting for 1 studies that another command is at\n"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_two_commands_share_the_work(tmp_path: Path, workers: int) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\nfrom pathlib import Path; from test_study_lock import _say\n"
        "from common.workers.pool import shared\n"
        "if __name__ == '__main__':\n    folder = Path(sys.argv[1])\n"
        "    jobs = {str(n): (folder, str(n), int(sys.argv[2]) + 1) for n in range(24)}\n"
        "    assert len(list(shared(_say, jobs, int(sys.argv[2])))) == 24"
    )
    (tmp_path / "main.py").write_text(code)
    out = tmp_path / "out"
    out.mkdir()
    words = [sys.executable, tmp_path / "main.py", out, str(workers), Path(__file__).parent, ROOT]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    both = [subprocess.Popen(words, env=environment) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    said = [line.split() for line in (out / "made.txt").read_text().splitlines()]
    assert sorted(int(name) for name, _ in said) == list(range(24))  # each once
    assert len({process for _, process in said}) > workers  # by both


def test_a_run_is_shared_by_those_that_do_the_same(tmp_path: Path) -> None:
    first = holder(f"only_one(Path({str(tmp_path)!r}), together='masks 1')")
    try:
        with only_one(tmp_path, together="masks 1"):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == first.pid
        for other in ("masks 2", ""):
            with pytest.raises(RunBusy, match=f"process {first.pid} on"), only_one(tmp_path, together=other):
                pass
    finally:
        end(first)
    with only_one(tmp_path, together="masks 2"), only_one(tmp_path):
        pass
    second = holder(f"only_one(Path({str(tmp_path)!r}))")
    try:
        with pytest.raises(RunBusy), only_one(tmp_path, together="masks 2"):
            pass
    finally:
        end(second)
