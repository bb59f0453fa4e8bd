"""Preprocessed scans in compressed chunks, so that a random crop reads only what it needs."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import blosc2
import numpy as np
import pandas as pd

from common.dataset.boxes import world_boxes
from common.errors import CorruptFile, NothingFound
from common.outputs.ledger import Step
from common.outputs.schema import CT_CACHE
from common.outputs.store import Files, atomic, is_current, is_intact, record_path, recorded_digest, write_record
from common.outputs.study_lock import only_one_makes
from common.progress import progress
from common.reading.study import Study, read_study
from common.resample import canonical
from common.volume import Grid, Volume
from common.workers.failing import LOG
from common.workers.pool import failures, here_or

CHUNK = 64
BLOCK = 16
"""Edges in voxels: a chunk is read from disk at once, a block is what is unpacked (docs/cache.md)."""
ACROSS, ALONG = 32, 8
"""Edges in voxels, along x and z, of the blocks in which a scan is turned over to numpy's order: half of its time."""
CODEC = blosc2.Codec.LZ4
LEVEL = 5
ONE_THREAD = blosc2.DParams(nthreads=1)
"""Loaders run in processes of their own; blosc2's threads would not survive their fork."""


class CachedScan:
    """One stored scan: axes nearest to R, A, S, int16 HU. `grid`: its grid; `source_grid`: the one of the files,
    for DICOM (column, row, slice); `slices`: the file stem of each index along the source's axis 2.
    Raises NothingFound, CorruptFile; a damaged entry is made again at the next `CtCache.fill`."""

    def __init__(self, path: Path) -> None:
        try:
            if path.exists() and not is_intact(path):
                raise ValueError("its bytes have changed since it was written")
            self._array = blosc2.open(str(path), mode="r", dparams=ONE_THREAD)
            about = self._array.schunk.vlmeta["scan"]
            self.grid = Grid(self._array.shape, np.array(about["affine"]))
            self.source_grid = Grid(tuple(about["source_shape"]), np.array(about["source_affine"]))
            self.slices: tuple[str, ...] = tuple(about["slices"])
            self.notices: tuple[str, ...] = tuple(about["notices"])
        except FileNotFoundError:
            raise NothingFound(f"{path}: not in the cache; fill it first") from None
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            with suppress(OSError):
                record_path(path).unlink()
            raise CorruptFile(
                f"{path}: damaged cache entry ({error}); run the same command again, it reads this study anew"
            ) from None

    def crop(self, start: np.ndarray, stop: np.ndarray) -> Volume:
        """The voxels start (3,) <= index < stop (3,), cut to the scan's bounds, with their affine; int16 HU."""
        start = np.maximum(np.asarray(start, dtype=int), 0)
        stop = np.minimum(np.asarray(stop, dtype=int), self.grid.shape)
        if (stop <= start).any():
            raise ValueError(f"crop {start.tolist()}..{stop.tolist()} holds no voxel of {self.grid.shape}")
        affine = self.grid.affine.copy()
        affine[:3, 3] = self.grid.to_world(start)
        return Volume(self._array[tuple(slice(int(a), int(b)) for a, b in zip(start, stop))], affine, self.notices)

    def whole(self) -> Volume:
        """The whole scan."""
        return self.crop(np.zeros(3), np.array(self.grid.shape))


@dataclass(frozen=True)
class CtCache:
    """A folder of `<uid>.b2nd`. Methods but `fill` raise NothingFound for a study that isn't stored."""

    folder: Path
    _open: dict[str, CachedScan] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple:
        return CtCache, (self.folder,)  # open files don't travel to other processes

    def path(self, uid: str) -> Path:
        return Path(self.folder) / f"{uid}.b2nd"

    def fill(self, studies: dict[str, Path], workers: int = 1) -> dict[str, str]:
        """Stores every study (uid -> DICOM folder, zip or NIfTI) that isn't current; returns uid -> message of
        those that can't be read. What is stored doesn't depend on `workers`."""
        step = Step(Path(self.folder).parent, 1, "cache", Path(self.folder).name, ".b2nd", CT_CACHE)
        step.begin(studies)
        due = {}
        for uid, source in studies.items():
            provenance = {"source": Files(source)}
            if not is_current(self.path(uid), provenance, CT_CACHE, by_digest=False):
                due[uid] = (Path(source), self.path(uid), provenance)
        failed = {}
        log = Path(self.folder).parent / LOG
        stored = failures(store_scan, due, here_or(workers, few=len(due) <= 1), log)
        for uid, message in progress(step.noted(stored), len(due), "reading studies"):
            self._open.pop(uid, None)
            if message is not None:
                failed[uid] = message
        return {uid: failed[uid] for uid in studies if uid in failed}

    def identity(self, uid: str) -> str | None:
        """The digest of a study's entry, which is all that what is made from it depends on; None without one."""
        return recorded_digest(self.path(uid))

    def open(self, uid: str) -> CachedScan:
        """The stored scan, to crop from; opened once."""
        if uid not in self._open:
            self._open[uid] = CachedScan(self.path(uid))
        return self._open[uid]

    def volume(self, uid: str) -> Volume:
        """The whole scan, axes nearest to R, A, S, int16 HU."""
        return self.open(uid).whole()

    def source_grid(self, uid: str) -> Grid:
        """The grid of the study's own files; a mask on it fits them exactly."""
        return self.open(uid).source_grid

    def boxes(self, uid: str, table: pd.DataFrame) -> np.ndarray:
        """(n, 2, 3) world RAS mm, low and high corner of each of the study's fracture boxes (`Competition.boxes`),
        one slice thick. Boxes on slices that the study doesn't have are left out (`verify` names them)."""
        scan = self.open(uid)
        return world_boxes(uid, table, scan.source_grid, scan.slices)


def store_scan(source: Path, path: Path, provenance: dict) -> None:
    """Reads a study and writes its cache entry with its record, unless another command has just done so. Raises
    StudyError, StudyBusy."""
    with only_one_makes(path):
        if is_current(path, provenance, CT_CACHE, by_digest=False):
            return
        stored = _compressed(read_study(source))
        with atomic(path) as scratch:
            scratch.write_bytes(stored.to_cframe())
        write_record(path, provenance, CT_CACHE, by_digest=False)


def _turned_over(array: np.ndarray) -> np.ndarray:
    """(X, Y, Z) of any order in memory -> int16 in numpy's, by blocks that the processor's cache holds."""
    turned = np.empty(array.shape, np.int16)
    for x in range(0, array.shape[0], ACROSS):
        for z in range(0, array.shape[2], ALONG):
            block = slice(x, x + ACROSS), slice(None), slice(z, z + ALONG)
            turned[block] = array[block]
    return turned


def _compressed(study: Study) -> blosc2.NDArray:
    """In memory: blosc2 can't say that a disk is full. A row of chunks at a time, so that there is no second copy."""
    scan = canonical(study.volume)
    shape = np.array(scan.array.shape)
    stored = blosc2.empty(
        scan.array.shape,
        np.int16,
        chunks=tuple(np.minimum(CHUNK, shape).tolist()),
        blocks=tuple(np.minimum(BLOCK, shape).tolist()),
        cparams=blosc2.CParams(codec=CODEC, clevel=LEVEL, filters=[blosc2.Filter.BITSHUFFLE], nthreads=1),
    )
    for start in range(0, len(scan.array), CHUNK):
        part = scan.array[start : start + CHUNK]
        stored[start : start + CHUNK] = _turned_over(part if part.dtype.kind in "iu" else np.rint(part))
    stored.schunk.vlmeta["scan"] = {
        "affine": scan.affine.tolist(),
        "source_affine": study.file_grid.affine.tolist(),
        "source_shape": list(study.file_grid.shape),
        "slices": list(study.slices),
        "notices": list(study.volume.notices),
    }
    return stored
