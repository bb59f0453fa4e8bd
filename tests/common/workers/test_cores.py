"""Cores are those that a process may use, by affinity and control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.training.task import TrainSettings
from common.workers import cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


def files(root: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        # the limit of a group around this one counts, too, and so does that of a group mounted as the top
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/box\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "0::/../..\nnonsense\n", "sys/fs/cgroup/cpu.max": "nonsense"}, 8),
    ],
)
def test_the_least_of_affinity_and_control_groups(tmp_path: Path, content: dict[str, str], expected: int) -> None:
    assert cores.usable_cores(files(tmp_path, content)) == expected


def test_where_there_is_no_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores.usable_cores(tmp_path) == 6


def test_threads_of_a_training_are_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.training import loop as training_loop

    monkeypatch.setattr(training_loop, "usable_cores", lambda: 6)
    assert training_loop.threads(TrainSettings(steps=1, workers=2)) == 4
    assert training_loop.threads(TrainSettings(steps=1, workers=2, devices=2)) == 1
    assert training_loop.threads(TrainSettings(steps=1, workers=9)) == 1


@pytest.mark.usefixtures("eight")
def test_libraries_are_told_of_a_group_that_leaves_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cores.THREADS, raising=False)
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    cores.limit_libraries()
    assert cores.THREADS not in os.environ
    monkeypatch.setattr(cores, "usable_cores", lambda: 3)
    cores.limit_libraries()
    assert os.environ.pop(cores.THREADS) == "3"
    monkeypatch.setenv(cores.THREADS, "1")
    cores.limit_libraries()
    assert os.environ[cores.THREADS] == "1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_that_wait_give_their_core_up_soon_unless_the_caller_said_how_they_wait(
    given: dict[str, str], expected: str
) -> None:
    """libgomp's own are 300,000 turns; it reads them once, when it is loaded."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    others = {name: value for name, value in os.environ.items() if name not in names}
    code = "import os, common; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=others | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_nobody_counts_the_machines_cores() -> None:
    root = Path(__file__).parents[3]
    sources = [p for part in ("common", "stage1_segment", "stage2_classify") for p in (root / part).rglob("*.py")]
    users = {p.name for p in sources if "cpu_count" in p.read_text()}
    assert users == {"cores.py"}
