"""The rescanned vertebrae of healthy scans as files, `stage2/grounds/<name>/<number>.npz`, made where not current."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from common.config import DataSettings
from common.errors import DatasetError
from common.image_names import SUFFIXES, is_image_file, stem
from common.labels import LEVELS
from common.masks import files as mask_files
from common.masks.segmentation import segmentation_on
from common.outputs import store
from common.outputs.fingerprints import Files, times
from common.progress import progress
from common.reading.study import read_study
from common.resample import canonical
from common.volume import Volume
from common.workers.failing import LOG
from common.workers.pool import failures
from stage2_classify.crops import files as crop_files
from stage2_classify.grounds.rescan import BROKEN, rescan
from stage2_classify.schema import GROUNDS
from stage2_classify.settings import ClassifySettings


@dataclass(frozen=True)
class Ground:
    """A healthy scan (DICOM folder, zip, NIfTI ...) and its mask, whose values follow `scheme`; `variants`: how often
    it is rescanned."""

    name: str
    scan: Path
    mask: Path
    scheme: str
    variants: int = 1


def grounds_in(folder: Path, scheme: str, variants: int = 1) -> list[Ground]:
    """The scans in FOLDER/scans with the masks of their names in FOLDER/masks. Raises DatasetError when there is none,
    or one lacks its mask."""
    scans = sorted(p for p in (folder / "scans").glob("*") if p.is_dir() or p.suffix == ".zip" or is_image_file(p))
    found = []
    for scan in scans:
        name = scan.stem if scan.suffix == ".zip" else stem(scan)
        masks = [folder / "masks" / f"{name}{ending}" for ending in ("", *SUFFIXES)]
        mask = next((path for path in masks if path.exists()), None)
        if mask is None:
            raise DatasetError(f"{scan}: no mask {masks[1]}; make it with `stage1_segment predict -i {scan} -o ...`")
        found.append(Ground(name, scan, mask, scheme, variants))
    if not found:
        raise DatasetError(f"{folder / 'scans'}: no scan; put healthy scans there, their masks into {folder / 'masks'}")
    return found


def make_variants(
    grounds: list[Ground], data: DataSettings, settings: ClassifySettings
) -> tuple[list[Path], dict[str, str]]:
    """`variants` files of each ground, those that aren't current made in `data.workers` processes; returns the files,
    and name -> error of what failed."""
    provenances = {
        _path(data, ground, number): _provenance(ground, number, settings)
        for ground in grounds
        for number in range(ground.variants)
    }
    of_file = {_path(data, ground, n): ground for ground in grounds for n in range(ground.variants)}
    due = {path: p for path, p in provenances.items() if not store.is_current(path, p, GROUNDS)}
    jobs = {str(path): (path, of_file[path], settings, provenance) for path, provenance in due.items()}
    failed: dict[str, str] = {}
    for name, error in progress(failures(_make_one, jobs, data.workers, data.run / LOG), len(jobs), "rescanning"):
        if error is not None:
            failed[name] = error
    return [path for path in provenances if str(path) not in failed], failed


def paths(grounds: list[Ground], data: DataSettings) -> list[Path]:
    """The files of the grounds, whether or not they are made."""
    return [_path(data, ground, number) for ground in grounds for number in range(ground.variants)]


def broken_levels(crops: crop_files.Crops) -> np.ndarray:
    """(7,) bool: which levels of a variant were broken."""
    return np.array([any(flag.startswith(BROKEN) for flag in crops.flags.get(level, ())) for level in LEVELS])


def _path(data: DataSettings, ground: Ground, number: int) -> Path:
    return data.run / "stage2" / "grounds" / ground.name / f"{number:04d}.npz"


def _provenance(ground: Ground, number: int, settings: ClassifySettings) -> dict[str, Any]:
    return {
        "scan": Files(ground.scan),
        "mask": mask_files.digest(ground.mask),
        "scheme": ground.scheme,
        "crops": settings.crops.model_dump(mode="json", exclude={"study_shape"}),
        "seed": settings.grounds.seed,
        "number": number,
        "compression": settings.grounds.compression,
        "swelling": settings.grounds.swelling,
    }


def _make_one(path: Path, ground: Ground, settings: ClassifySettings, provenance: dict[str, Any]) -> None:
    """One variant of one scan. Raises StudyError, OutputError."""
    ct, mask = read_ground(ground.scan, ground.mask, ground.scheme)
    rng = np.random.default_rng([settings.grounds.seed, *ground.name.encode(), provenance["number"]])
    drawn = settings.grounds
    crop_files.save(path, rescan(ct, mask, settings.crops, rng, drawn.compression, drawn.swelling))
    store.write_record(path, provenance, GROUNDS)


def read_ground(scan: Path, mask: Path, scheme: str) -> tuple[Volume, Volume]:
    """CT in HU and mask (ids 1..8) on its grid, both (X, Y, Z) along right, anterior, superior. The last ones are kept,
    since variants of one scan are made one after the other. Raises StudyError."""
    return _read(scan, mask, scheme, times(scan), times(mask))


@lru_cache(maxsize=1)
def _read(scan: Path, mask: Path, scheme: str, *unchanged: str) -> tuple[Volume, Volume]:
    ct = canonical(read_study(scan).volume)
    return ct, segmentation_on(ct, mask, scheme)
