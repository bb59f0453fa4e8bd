"""How many cores this process may use, which is often fewer than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

THREADS = "OMP_NUM_THREADS"


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that affinity and the control groups (v2 cpu.max, v1 cfs quota) leave this process, 1 at least; parts of
    a core don't count. `root` holds proc/ and sys/."""
    cores = _by_affinity()
    for quota, period in _limits(Path(root)):
        if quota > 0 and period > 0:
            cores = min(cores, quota // period)
    return max(cores, 1)


def threads_each(workers: int) -> int:
    """Threads of each of so many processes that share the usable cores."""
    return max(usable_cores() // max(workers, 1), 1)


def limit_libraries() -> None:
    """Libraries count the cores by affinity alone: where a control group leaves fewer, they and the processes started
    later are told so, unless the caller has said how many threads are wanted."""
    cores = usable_cores()
    if cores < _by_affinity():
        os.environ.setdefault(THREADS, str(cores))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(quota, period) in microseconds of this process's groups and of those around them; what sets none is left out.
    Within a container the group's own folder may be mounted as the top, so that is looked at in any case."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _upwards(root / "sys/fs/cgroup", group):
                yield from _pair(_read(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu", "cpu,cpuacct"):
                for folder in _upwards(root / "sys/fs/cgroup" / mount, group):
                    yield from _pair(f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}")


def _upwards(top: Path, group: str) -> Iterator[Path]:
    inner = PurePosixPath("/", group).relative_to("/")
    for part in (inner, *inner.parents):
        if ".." not in part.parts:
            yield top / part


def _pair(text: str) -> Iterator[tuple[int, int]]:
    """"200000 100000" -> (200000, 100000); "max 100000", "-1 100000" and nothing: no limit."""
    words = text.split()
    if len(words) == 2 and all(word.isdigit() for word in words):
        yield int(words[0]), int(words[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
