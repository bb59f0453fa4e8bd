"""One process that reads damaged studies and says how each ended. Its parent watches over time and crashes."""

import json
import os
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from common.errors import ProjectError
from common.reading.selftest.fuzz.damage import spoil
from common.reading.study import read_study

ROOM = 3 * 2**30
"""Bytes of address space above what the libraries take."""
MOST_GROWTH = 400 * 2**20
"""Resident bytes that reading one small study may take."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def run_cases(first: int, last: int, seed: int, scratch: Path) -> None:
    """Reads cases first..last-1, each a spoilt copy of a seed in `scratch`/seeds; prints a line before and after."""
    seeds = sorted(path for path in (scratch / "seeds").iterdir())
    _limit_memory()
    written = _watch_writes(scratch)
    for case in range(first, last):
        rng = Random(f"{seed}.{case}")
        origin = rng.choice(seeds)
        study = scratch / "case" / origin.name
        shutil.rmtree(study.parent, ignore_errors=True)
        study.parent.mkdir()
        shutil.copytree(origin, study) if origin.is_dir() else shutil.copy(origin, study)
        how = f"{origin.name}: {spoil(study, rng)}"
        print(json.dumps({"case": case, "how": how}), flush=True)
        written.clear()
        before = _memory()
        answer = _answer(study)
        if (growth := _memory(peak=True) - before) > MOST_GROWTH:
            answer = {"outcome": "memory", "text": f"{growth / 2**20:.0f} MiB"}
        if written:
            answer = {"outcome": "wrote", "text": str(written[:3])}
        print(json.dumps({"case": case, **answer}), flush=True)


def _answer(study: Path) -> dict:
    try:
        result = read_study(study)
        fault = volume_fault(result)
        return {"outcome": "invalid volume", "text": fault} if fault else {"outcome": "read", "text": ""}
    except ProjectError as error:
        return {"outcome": type(error).__name__, "text": str(error)[:300]}
    except BaseException as error:
        import traceback

        return {
            "outcome": "uncaught",
            "text": f"{type(error).__name__}: {error} {traceback.format_exc()[-700:]}",
        }


def volume_fault(study: Any) -> str:
    """Why a study that was read isn't a usable one; empty when it is."""
    array, affine = study.volume.array, study.volume.affine
    if array.ndim != 3 or array.dtype not in (np.int16, np.float32):
        return f"array {array.shape} {array.dtype}"
    if not np.isfinite(array).all() or array.min() < -1024:
        return f"values from {array.min()}"
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        return f"affine {affine.tolist()}"
    if study.slices and len(study.slices) != array.shape[2]:
        return f"{len(study.slices)} names for {array.shape[2]} slices"
    axes = affine[:3, :3] / study.volume.spacing
    if study.slices and np.abs(axes.T @ axes - np.eye(3)).max() > 0.02:
        return "a DICOM volume with aslant axes"
    return ""


def _limit_memory() -> None:
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def _memory(peak: bool = False) -> int:
    """Resident bytes now, or at their highest since the last call."""
    key = "VmHWM:" if peak else "VmRSS:"
    status = Path("/proc/self/status").read_text()
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    return int(next(line for line in status.splitlines() if line.startswith(key)).split()[1]) * 1024


def _watch_writes(scratch: Path) -> list[str]:
    """Collects every path that Python code opens for writing, makes, moves or removes while a study is read."""
    written: list[str] = []
    changing = {
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "shutil.move",
        "os.truncate",
    }

    def watch(event: str, arguments: tuple) -> None:
        if event in changing or event == "subprocess.Popen":
            written.append(f"{event} {arguments[0]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            unnamed = arguments[2] & getattr(os, "O_TMPFILE", 0) == getattr(os, "O_TMPFILE", -1)
            if not unnamed and not isinstance(arguments[0], int) and "/proc/self" not in str(arguments[0]):
                written.append(f"open {arguments[0]}")

    sys.addaudithook(watch)
    return written


if __name__ == "__main__":
    run_cases(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
