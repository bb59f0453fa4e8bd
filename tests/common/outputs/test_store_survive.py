"""Full disks, read-only folders, torn and edited outputs, two processes at once, and processes that die."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from deadly_jobs import work

from common.dataset.cache import CtCache
from common.errors import CorruptFile, OutputError, RunBusy
from common.outputs import store
from common.outputs.lock import belongs_to_another, only_one
from common.workers.failing import Failed
from common.workers.pool import shared

ROOT = Path(__file__).parents[3]


def made(path: Path, content: bytes = bytes(range(256)) * 8) -> dict:
    provenance = {"weights": "abc", "n": [1, 2]}
    with store.atomic(path) as scratch:
        scratch.write_bytes(content)
    store.write_record(path, provenance)
    assert store.is_current(path, provenance)
    return provenance


@pytest.mark.parametrize("which", ["output", "record"])
def test_every_torn_or_edited_byte_is_noticed(tmp_path: Path, which: str) -> None:
    path = tmp_path / "mask.nii.gz"
    provenance = made(path)
    target = path if which == "output" else store.record_path(path)
    content = target.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        torn = bytearray(content[: rng.integers(len(content))] if rng.random() < 0.5 else content)
        if len(torn) == len(content):
            torn[rng.integers(len(torn))] ^= int(rng.integers(1, 256))
        target.write_bytes(torn)
        # a record that means the same may have another blank in it: then the output is still what it says
        assert not store.is_current(path, provenance) or store.read_json(store.record_path(path))
        if which == "output":
            assert not store.is_current(path, provenance)
    target.write_bytes(content)
    assert store.is_current(path, provenance)


@pytest.mark.parametrize(
    "record", [b"", b"null", b"[]", b"3", b"{}", b"[" * 100_000, b'{"provenance": {}}', b"\xff", b"{" * 9]
)
def test_strange_records_are_not_trusted(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / "a.txt"
    provenance = made(path)
    store.record_path(path).write_bytes(record)
    assert not store.is_current(path, provenance)
    assert not store.is_intact(path) or record == b"{}" or b"came" in record


def test_a_folder_or_a_loop_in_place_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    provenance = made(path)
    record = store.record_path(path)
    record.unlink()
    record.mkdir()
    assert not store.is_current(path, provenance)
    record.rmdir()
    record.symlink_to(record)
    assert not store.is_current(path, provenance)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        f"import time; from pathlib import Path; from common.outputs import store\n"
        f"with store.atomic(Path({str(tmp_path / 'a.txt')!r})) as scratch:\n"
        f"    scratch.write_text('half'); print('there', flush=True); time.sleep(3600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    process.stdout.readline()
    (left,) = tmp_path.iterdir()
    store.write_text(tmp_path / "b.txt", "b")
    assert left.exists()  # its process lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    store._remove_leftovers.cache_clear()  # as in a new process
    store.write_text(tmp_path / "b.txt", "b")
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_an_old_leftover_of_another_machine_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()  # its number is nobody's here; elsewhere it may be somebody's
    for name, age in (("old", 100_000), ("new", 10)):
        left = tmp_path / f".writing-elsewhere-{ended.pid}-{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    store.write_text(tmp_path / "a", "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".writing-elsewhere-{ended.pid}-new", "a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_failing_disk_is_told_and_spoils_nothing(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"
    provenance = made(path)
    with (
        pytest.raises(OutputError, match=r"a\.txt: can't be written: .*run the same command again"),
        store.atomic(path) as s,
    ):
        s.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert store.is_current(path, provenance)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "a.txt.record.json"]


def test_errors_of_what_is_read_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), store.atomic(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "no", "/somewhere/else")
    with pytest.raises(ZeroDivisionError), store.atomic(tmp_path / "a.txt"):
        1 / 0  # noqa: B018


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="file stands where a folder"):
        store.write_text(tmp_path / "run" / "a.txt", "a")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of one megabyte; a function that makes it read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small file system")
    yield place, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_full_and_one_that_is_read_only(small_disk) -> None:
    place, remount = small_disk
    provenance = made(place / "a.bin", b"x" * 600_000)
    with pytest.raises(OutputError, match="disk is full; make room"):
        made(place / "a.bin", b"y" * 600_000)
    assert store.is_current(place / "a.bin", provenance)
    assert not list(place.glob(".writing-*"))
    remount("ro")
    with pytest.raises(OutputError, match=r"read-only; choose another folder \(data\.run\)"):
        made(place / "b.bin")
    with pytest.raises(OutputError, match="read-only"), only_one(place):
        pass
    assert store.is_current(place / "a.bin", provenance)
    remount("rw")
    made(place / "b.bin")


def test_a_cache_entry_on_a_full_disk(small_disk, tmp_path: Path) -> None:
    place, _ = small_disk
    study = tmp_path / "scan.nii"
    _noise(study, (160, 100, 100))
    with pytest.raises(OutputError, match="disk is full"):
        CtCache(place).fill({"1.2": study})
    assert not list(place.glob("1.2*"))


def _noise(path: Path, shape: tuple[int, int, int], seed: int = 0) -> None:
    import nibabel as nib

    array = np.random.default_rng(seed).integers(-1000, 3000, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1, 1, 1])), path)


def test_a_cache_entry_whose_bytes_rot_is_made_again(tmp_path: Path) -> None:
    """Same size, same time: only the digest tells."""
    study, cache = tmp_path / "scan.nii", CtCache(tmp_path / "cache")
    _noise(study, (20, 20, 20))
    cache.fill({"1.2": study})
    path, expected = cache.path("1.2"), cache.volume("1.2").array
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(CorruptFile, match="run the same command again"):
        CtCache(cache.folder).volume("1.2")
    assert CtCache(cache.folder).fill({"1.2": study}) == {}
    assert np.array_equal(CtCache(cache.folder).volume("1.2").array, expected)


def test_an_unreadable_study_among_good_ones(tmp_path: Path) -> None:
    studies = {f"1.{n}": tmp_path / f"{n}.nii" for n in range(4)}
    for n, path in enumerate(studies.values()):
        _noise(path, (8, 8, 8), n)
    studies["1.2"].write_bytes(studies["1.2"].read_bytes()[:400])
    failed = CtCache(tmp_path / "cache").fill(studies, workers=2)
    assert list(failed) == ["1.2"]
    assert sorted(p.name for p in (tmp_path / "cache").glob("*.b2nd")) == ["1.0.b2nd", "1.1.b2nd", "1.3.b2nd"]


# One process at a time


def _hold(folder: Path) -> subprocess.Popen:
    code = (
        f"import time; from pathlib import Path; from common.outputs.lock import only_one\n"
        f"with only_one(Path({str(folder)!r})): print('held', flush=True); time.sleep(3600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    process.stdout.readline()
    return process


def test_a_second_run_is_told_who_is_first(tmp_path: Path) -> None:
    holder = _hold(tmp_path)
    try:
        code = (
            f"from pathlib import Path; from common.outputs.lock import only_one; from common.commandline import run\n"
            f"def main():\n    with only_one(Path({str(tmp_path)!r})): pass\nrun(main)"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert second.returncode == RunBusy.exit_code
        assert f"process {holder.pid} on" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        holder.kill()
        holder.wait()
    with only_one(tmp_path):  # the lock of a killed process is stale at once
        pass


def test_the_lock_is_free_after_the_block_whatever_happened(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_one(tmp_path), only_one(tmp_path):
        raise ZeroDivisionError
    holder = _hold(tmp_path)
    with pytest.raises(RunBusy), only_one(tmp_path):
        pass
    holder.kill()
    holder.wait()


def test_other_processes_of_a_training_take_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = _hold(tmp_path)
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    with only_one(tmp_path):
        pass
    for name in ("MASTER_ADDR", "WORLD_SIZE"):  # a rank that some shell has left is no launched training
        monkeypatch.delenv(name)
    with pytest.raises(RunBusy), only_one(tmp_path):
        pass
    holder.kill()
    holder.wait()


MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
LAUNCHED = {**MEETING, "NODE_RANK": "0", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
"""What Lightning's launcher sets for the second process of a machine."""


@pytest.mark.parametrize(
    ("environment", "other"),
    [
        ({}, False),
        ({"RANK": "1"}, False),
        ({"LOCAL_RANK": "3", "NODE_RANK": "2"}, False),
        ({"RANK": "1", "WORLD_SIZE": "4"}, False),
        ({"RANK": "1", "WORLD_SIZE": "1", **MEETING}, False),
        ({"RANK": "x", "WORLD_SIZE": "y", **MEETING}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "1"}, False),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "1", "SLURM_STEP_ID": "0"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"}, False),
        (LAUNCHED, True),
        ({**LAUNCHED, "LOCAL_RANK": "0"}, False),
        ({**MEETING, "RANK": "5", "LOCAL_RANK": "0", "GROUP_RANK": "1", "WORLD_SIZE": "8"}, True),  # torchrun
        ({**MEETING, "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "WORLD_SIZE": "8"}, False),
        ({"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "0"}, True),  # --master-port 0
        ({**MEETING, "NODE_RANK": "1"}, True),  # Lightning, started by hand on the second machine
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_ID": "0"}, True),
    ],
)
def test_a_rank_alone_proves_nothing(environment: dict[str, str], other: bool) -> None:
    assert belongs_to_another(environment) == other


def test_lightning_marks_the_processes_that_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it really sets, whatever its version; and one device of several machines is known by its machine."""
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies.launchers import subprocess_script

    own = {name: value for name, value in os.environ.items() if name not in {*LAUNCHED, "RANK", "GROUP_RANK"}}
    started = []
    monkeypatch.setattr(
        subprocess_script.subprocess, "Popen", lambda *words, env, **others: started.append(env) or _Running()
    )
    launcher = subprocess_script._SubprocessScriptLauncher(LightningEnvironment(), num_processes=2, num_nodes=1)
    with patch.dict(os.environ, own, clear=True):  # the launcher marks its own process as well
        launcher._call_children_scripts()
    (environment,) = started
    assert belongs_to_another(environment)


class _Running:
    pid = 0

    def poll(self) -> None:
        return None


# Processes that die


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_kill_their_process(workers: int) -> None:
    jobs = {n: (n, (2, 5)) for n in range(8)}
    results = dict(shared(work, jobs, workers))
    assert isinstance(results.pop(2), Failed)
    assert isinstance(results.pop(5), Failed)
    assert results == {n: 2 * n for n in (0, 1, 3, 4, 6, 7)}


@pytest.mark.slow
def test_a_job_whose_process_died_once_is_done(tmp_path: Path) -> None:
    jobs = {n: (n, (3,), str(tmp_path / "flag")) for n in range(6)}
    assert dict(shared(work, jobs, 2)) == {n: 2 * n for n in range(6)}


def test_no_jobs() -> None:
    assert dict(shared(work, {}, 2)) == {}


@pytest.mark.slow
def test_workers_end_with_their_killed_parent(tmp_path: Path) -> None:
    code = (
        "from deadly_jobs import linger\n"
        "from common.workers.pool import shared\n"
        f"if __name__ == '__main__': list(shared(linger, {{1: ({str(tmp_path / 'pid')!r},)}}, 1))"
    )
    (tmp_path / "parent.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}:{ROOT / 'tests'}"}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], cwd=ROOT, env=environment)
    end = time.monotonic() + 900
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end and parent.poll() is None
        time.sleep(0.05)
    worker = int((tmp_path / "pid").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while store.is_running(worker) and "Z" not in Path(f"/proc/{worker}/stat").read_text().split()[2]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_processes_write_the_same_file_at_once(tmp_path: Path) -> None:
    """Each reader sees one writer's whole content, and nothing half-written is left."""
    path = tmp_path / "a.txt"
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(_write_often, path, letter) for letter in "xy"]
        while not all(job.done() for job in jobs):
            if path.exists():
                assert len(set(path.read_text())) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def _write_often(path: Path, letter: str) -> None:
    for _ in range(50):
        store.write_text(path, letter * 100_000)
