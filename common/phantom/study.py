"""All files of one study, with a manifest that says what they are and what they came from."""

import dataclasses
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

import common
from common.dataset.competition import SYNTHETIC
from common.labels import LEVEL_IDS
from common.outputs import store
from common.outputs.schema import PHANTOM_STUDY
from common.phantom.files.boxes import Box, find_boxes
from common.phantom.files.dicom import write_series
from common.phantom.files.orientation import oriented
from common.phantom.render import render
from common.phantom.study_plan import StudyPlan
from common.volume import Volume

OF_THE_COHORT = {"__main__.py", "cohort.py", "make_in_parallel.py", "tables.py", "preview.py"}
OF_THE_BANK = {"bank", "mesh"}
"""Source files and folders that no single study comes from."""
SEGMENTATIONS = {"train": "segmentations", "test": "test_segmentations"}


def manifest_path(out: Path, uid: str) -> Path:
    """Where the manifest of a study lies: its files, its boxes, where its levels and
    fractures are."""
    return out / SYNTHETIC / f"{uid}.json"


def provenance_of(plan: StudyPlan, matrix: int) -> dict[str, Any]:
    return {"plan": plan.digest(), "matrix": matrix, "generator": generator_digest()}


def _with_files(out: Path, names: list[str], plan: StudyPlan, matrix: int) -> dict[str, Any]:
    return {**provenance_of(plan, matrix), "files": {name: store.Files(out / name) for name in names}}


@cache
def generator_digest() -> str:
    """Digest of the source files a study comes from."""
    root = Path(common.__file__).parent
    elsewhere = OF_THE_COHORT | OF_THE_BANK
    phantom = [p for p in sorted((root / "phantom").rglob("*.py")) if elsewhere.isdisjoint((p.name, p.parent.name))]
    sources = [root / "labels.py", root / "volume.py", *phantom]
    return store.digest_value([(str(path.relative_to(root)), store.digest_file(path)) for path in sources])


def is_made(out: Path, plan: StudyPlan, matrix: int) -> bool:
    """True when the study's files are there, made from this plan by this generator, and haven't changed."""
    manifest = manifest_path(out, plan.uid)
    try:
        names = list(store.read_json(manifest)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return store.is_current(manifest, _with_files(out, names, plan, matrix), PHANTOM_STUDY)


def make_study(out: Path, plan: StudyPlan, matrix: int) -> None:
    """Renders the study and writes its slices, segmentation and manifest below `out`; the manifest comes last, so
    that a study that was interrupted is made again."""
    remove_study(out, plan.uid)
    rendered = render(plan, matrix)

    images = out / f"{plan.split}_images" / plan.uid
    with store.atomic(images) as folder:
        write_series(folder, rendered.ct, plan.uid, plan.style)
    made = [images]
    if plan.segmentation:
        segmentation = out / SEGMENTATIONS[plan.split] / f"{plan.uid}.nii"
        with store.atomic(segmentation) as path:
            write_segmentation(path, rendered.labels, plan.segmentation)
        made.append(segmentation)

    file_numbers = plan.style.file_numbers(rendered.ct.array.shape[2])
    boxes = find_boxes(rendered.crossing, file_numbers, np.random.default_rng([plan.seed, plan.study]))
    manifest = manifest_path(out, plan.uid)
    names = [str(path.relative_to(out)) for path in made]
    content = {
        "files": names,
        "boxes": [dataclasses.asdict(box) for box in boxes],
        "centres": _centres(rendered.labels),
        "fractures": _centres(rendered.crossing),
    }
    store.write_json(manifest, content)
    store.write_record(manifest, _with_files(out, names, plan, matrix), PHANTOM_STUDY)


def remove_study(out: Path, uid: str) -> None:
    """Removes what a manifest says was made for a study, and the manifest."""
    manifest = manifest_path(out, uid)
    if not manifest.exists():
        return
    for name in store.read_json(manifest)["files"]:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    store.record_path(manifest).unlink(missing_ok=True)
    manifest.unlink()


def read_boxes(out: Path, uid: str) -> list[Box]:
    """The boxes of a made study, published or not."""
    return [Box(**box) for box in store.read_json(manifest_path(out, uid))["boxes"]]


def _centres(marked: Volume) -> dict[str, list[float]]:
    """Level -> world RAS mm of the one of its voxels that lies nearest to the middle of them all."""
    flat = marked.array.reshape(-1)
    places = np.flatnonzero(flat)
    values = flat[places]
    centres = {}
    for level, value in LEVEL_IDS.items():
        indices = np.stack(np.unravel_index(places[values == value], marked.array.shape), axis=-1)
        if len(indices):
            nearest = np.linalg.norm((indices - indices.mean(axis=0)) * marked.spacing, axis=1).argmin()
            centres[level] = marked.grid.to_world(indices[nearest]).round(2).tolist()
    return centres


def write_segmentation(path: Path, labels: Volume, directions: str) -> None:
    """Writes `labels` (uint8, 1..7 = C1..C7, 8.. = T1..) as uncompressed NIfTI, axes running towards `directions`
    ("LPS" as the slices, others sagittal); the affine (RAS mm) in sform and qform."""
    turned = oriented(labels, directions)
    image = nib.Nifti1Image(np.ascontiguousarray(turned.array), turned.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(turned.affine, code=1)
    image.set_qform(turned.affine, code=1)
    nib.save(image, path)
