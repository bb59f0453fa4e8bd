"""Jobs on a real Dask scheduler with workers of its own: killed, poisoned and lost ones; skipped without the extra."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from common.errors import ClusterError, ConfigError, CorruptFile
from common.workers import at_cluster, cluster
from common.workers.at_cluster import Place, do, place_of
from common.workers.failing import Failed
from common.workers.pool import HERE, here_or, shared
from common.workers.tasks import KILLED, Tasks

ROOT = Path(__file__).parents[3]
NEEDS = "distributed"


def work(folder: Path, name: str) -> str:
    """Writes a file, by a relative path; `poison` ends its process, `broken` raises."""
    with (folder / "begun.txt").open("a") as stream:
        stream.write(f"{name} {os.getpid()}\n")
    if name == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "broken":
        raise CorruptFile("a.dcm: cut off")
    if name == "slow":
        time.sleep(3)
    (folder / name).write_text(name)
    return name.upper()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers; a killed worker is replaced by its nanny."""
    pytest.importorskip(NEEDS)
    place = tmp_path_factory.mktemp("dask")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1"]
    worker += ["--no-dashboard", "--local-directory", str(place)]
    processes = [
        subprocess.Popen(line, env=environment, cwd=place, stderr=(place / "log").open("a")) for line in (dask, worker)
    ]
    patch = pytest.MonkeyPatch()
    patch.setattr(cluster, "CONNECT_S", 600)  # it takes its time to start where others compute
    try:
        yield address
    finally:
        patch.undo()
        for process in reversed(processes):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()


@pytest.mark.slow
def test_one_that_fails_and_one_that_kills_its_workers_are_failures_of_their_own(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["slow", "poison", "broken", *map(str, range(20))]
    run = Path("run")
    with cluster.use(scheduler):
        results = dict(shared(work, {name: (run, name) for name in names}, 2, run / "failures.log"))
    assert results.pop("broken") == Failed("CorruptFile: a.dcm: cut off")
    assert results.pop("poison") == Failed(KILLED)
    assert results == {name: name.upper() for name in names if name not in ("broken", "poison")}
    assert {path.name for path in run.iterdir()} == {*results, "begun.txt"}
    begun = [line.split() for line in (run / "begun.txt").read_text().splitlines()]
    assert str(os.getpid()) not in {process for _, process in begun}
    assert 2 <= sum(name == "poison" for name, _ in begun) <= 4  # tried on two workers, then once more alone


@pytest.mark.slow
def test_what_needs_a_gpu_goes_to_workers_that_have_one(scheduler: str, tmp_path: Path) -> None:
    """One of the fixture's workers, started beside the others, declares one."""
    words = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard"]
    words += ["--no-nanny", "--resources", "GPU=1", "--local-directory", str(tmp_path / "dask")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    with cluster.use(scheduler), (tmp_path / "log").open("w") as log:
        gpu = subprocess.Popen(words, env=environment, stderr=log)
        try:
            until = time.monotonic() + 300
            while "Registered to" not in (tmp_path / "log").read_text() and time.monotonic() < until:
                time.sleep(0.2)
            jobs = {name: (tmp_path, name) for name in "abcdef"}
            assert len(dict(shared(work, jobs, 2, tmp_path / "failures.log", gpu=True))) == 6
        finally:
            gpu.terminate()
            gpu.wait()
    begun = [line.split()[1] for line in (tmp_path / "begun.txt").read_text().splitlines()]
    assert set(begun) == {str(gpu.pid)}


@pytest.mark.slow
def test_a_killed_worker_s_job_is_done_by_another(scheduler: str, tmp_path: Path) -> None:
    with cluster.use(scheduler):
        answers = shared(work, {name: (tmp_path, name) for name in ["slow", "a", "b"]}, 2, tmp_path / "failures.log")
        assert next(answers)[0] in "ab"
        begun, until = {}, time.monotonic() + 60
        while "slow" not in begun and time.monotonic() < until:
            begun = dict(line.split() for line in (tmp_path / "begun.txt").read_text().splitlines() if " " in line)
            time.sleep(0.05)
        os.kill(int(begun["slow"]), signal.SIGKILL)
        assert dict(answers)["slow"] == "SLOW"
    assert sum(line.startswith("slow") for line in (tmp_path / "begun.txt").read_text().splitlines()) == 2


def test_what_is_no_cluster_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(NEEDS)
    with pytest.raises(ConfigError, match="expected local, tcp"), cluster.use("host:8786"):
        pass
    with pytest.raises(ConfigError, match="no such"), cluster.use(str(tmp_path / "no.yaml")):
        pass
    (tmp_path / "wrong.yaml").write_text("system: slurm\nmost: 2\njobs: {}\n")
    with pytest.raises(ConfigError, match="did you mean `job`"), cluster.use(str(tmp_path / "wrong.yaml")):
        pass
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with (
        cluster.use("tcp://127.0.0.1:1"),
        pytest.raises(ClusterError, match="no scheduler answers there"),
    ):
        list(shared(work, {"a": (tmp_path, "a")}, 2, tmp_path / "failures.log"))
    assert cluster.used() is None and here_or(1, few=False) == HERE == here_or(4, few=True) != here_or(4, few=False)


def test_a_worker_refuses_other_files_and_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_cluster, "SEEN_AFTER_S", 0.2)
    with place_of(tmp_path / "run") as place:
        assert Path(place.sign).exists()
        with pytest.raises(ClusterError, match=r"has version .*, expected 0"):
            do(b"", b"", Place(place.folder, place.sign, "0"))
    with pytest.raises(ClusterError, match=r"doesn't see .*run; results are files"):
        do(b"", b"", place)
    with place_of(tmp_path / "run") as place, pytest.raises(ClusterError, match="can't import what it is to do"):
        do(b"cno_such_module\nwork\n.", b"", place)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("slurm", ["#SBATCH --mem=15G", "#SBATCH -t 02:00:00", "#SBATCH --gres=gpu:1"]),
        ("pbs", ["#PBS -l walltime=02"]),
        ("sge", ["#$ -l h_rt=02:00:00"]),
    ],
)
def test_a_batch_system_s_file_becomes_its_job(tmp_path: Path, system: str, expected: list[str]) -> None:
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "cluster.yaml"
    path.write_text(
        f"system: {system}\nmost: 4\ngpu: true\njob:\n  cores: 1\n  processes: 1\n  memory: 16GB\n"
        "  walltime: '02:00:00'\n  job_extra_directives: ['--gres=gpu:1']\n"
        "  worker_extra_args: ['--resources', 'GPU=1']\n"
    )
    found = cluster.chosen(str(path))
    assert found is not None and found.workers is not None and found.workers.gpu
    batch = cluster.started(found.workers, "cluster.yaml")
    try:
        script = batch.job_script()
    finally:
        batch.close()
    assert all(line in script for line in expected)
    assert "--nthreads 1" in script and "--resources GPU=1" in script


def test_a_scheduler_that_goes_while_a_result_is_fetched_has_gone() -> None:
    """The job was done; its result never came."""
    pytest.importorskip(NEEDS)
    from distributed.comm.core import CommClosedError

    class Lost:
        status = "finished"

        def cancelled(self) -> bool:
            return False

        def exception(self) -> None:
            return None

        def result(self) -> object:
            raise CommClosedError("Connection reset by peer")

    with pytest.raises(ClusterError, match=r"tcp://here: the scheduler has gone \(CommClosedError\).*run the same"):
        Tasks(None, "tcp://here", lambda job: job, None, 0)._result(Lost())
