"""The crops of a cohort as files, `stage2/crops/<uid>.npz`, made in parallel and only where something changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pandas as pd

from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.competition import BOX_COLUMNS, UID, Competition
from common.masks.alternatives import alternatives_beside
from common.masks.segmentation import segmentation_on
from common.masks.turned import turned, turned_beside
from common.outputs import store
from common.outputs.ledger import Step
from common.outputs.study_lock import only_one_makes
from common.progress import progress
from common.workers.failing import LOG
from common.workers.pool import failures
from stage2_classify.crops.cut import Crops, cut_study, shrink_study
from stage2_classify.crops.masks import Masks
from stage2_classify.schema import CROPS
from stage2_classify.settings import CropSettings

QUICK = 1
"""Of zlib's levels: half of the time of 6, and 3 % more room."""


def path_of(data: DataSettings, kind: str, uid: str) -> Path:
    """Where a study's crops lie; the naive network's whole studies lie in a folder of their own."""
    return data.run / "stage2" / ("shrunken" if kind == "naive" else "crops") / f"{uid}.npz"


def save(path: Path, crops: Crops) -> None:
    """Writes crops atomically, as numpy's `savez_compressed` would, which knows no other level of compression."""
    texts = {name: np.array(json.dumps(getattr(crops, name))) for name in ("flags", "notices", "alternatives")}
    arrays = texts | {"images": crops.images, "present": crops.present, "affines": crops.affines}
    if crops.distance is not None:
        arrays["distance"] = crops.distance
    with store.atomic(path) as scratch, ZipFile(scratch, "w", ZIP_DEFLATED, compresslevel=QUICK) as parts:
        for name, array in arrays.items():
            with parts.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array, allow_pickle=False)


def load(path: Path) -> Crops:
    """Reads crops; raises OSError, KeyError or ValueError when the file isn't one of `save`'s."""
    with np.load(path, allow_pickle=False) as content:
        return Crops(
            content["images"],
            content["present"],
            content["affines"],
            content.get("distance"),
            json.loads(str(content["flags"])),
            tuple(json.loads(str(content["notices"]))),
            json.loads(str(content["alternatives"])),
        )


def crop_provenance(
    uid: str, data: DataSettings, masks: Masks, settings: CropSettings, kind: str, boxes: pd.DataFrame
) -> dict[str, Any]:
    """What a study's crops depend on: its scan in the cache, its mask, its rows of `boxes`, how it is cut."""
    provenance = {"ct": CtCache(data.run / "cache").identity(uid)}
    if kind == "naive":
        return {**provenance, "study_shape": settings.study_shape, "window_hu": settings.window_hu}
    rows = boxes.loc[boxes[UID] == uid, list(BOX_COLUMNS)].to_numpy(dtype=float).tolist()
    return {**provenance, **masks.provenance(uid), "crops": _of_a_vertebra(settings), "boxes": store.digest_value(rows)}


def cut_as(path: Path, settings: CropSettings) -> bool:
    """Whether there are crops of a vertebra that were cut with these settings."""
    return path.exists() and store.provenance_of(path).get("crops") == _of_a_vertebra(settings)


def _of_a_vertebra(settings: CropSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude={"study_shape"})


def make_crops(
    uids: list[str],
    data: DataSettings,
    masks: Masks,
    settings: CropSettings,
    kind: str,
    competition: Competition,
) -> dict[str, str]:
    """Makes the crops of the studies that lack current ones, in `data.workers` processes; reads into the cache the
    scans that aren't there. Returns uid -> error for the studies that failed; they are left out."""
    cache = CtCache(data.run / "cache")
    failed = cache.fill({uid: competition.images(uid) for uid in uids}, data.workers)
    step = _step(uids, data, settings, kind, failed)
    boxes = competition.boxes()
    provenances = {uid: crop_provenance(uid, data, masks, settings, kind, boxes) for uid in uids if uid not in failed}
    current = {uid: store.is_current(path_of(data, kind, uid), provenances[uid], CROPS) for uid in provenances}
    due = {uid: provenance for uid, provenance in provenances.items() if not current[uid]}
    if not due:
        return failed
    jobs = {uid: (uid, data, masks, settings, kind, boxes[boxes[UID] == uid], due[uid]) for uid in due}
    made = failures(_make_one, jobs, data.workers, data.run / LOG)
    for uid, error in progress(step.noted(made), len(jobs), "cutting vertebrae"):
        if error is not None:
            failed[uid] = error
    return failed


def _step(uids: list[str], data: DataSettings, settings: CropSettings, kind: str, failed: dict[str, str]) -> Step:
    """The ledger's, begun: crops cut in this way; without those whose scans have `failed`."""
    folder = path_of(data, kind, "").parent
    step = Step(data.run, 3, folder.name, str(folder.relative_to(data.run)), ".npz", CROPS)
    step.begin(uids, {} if kind == "naive" else {"crops": [_of_a_vertebra(settings)]})
    for uid, reason in failed.items():
        step.note(uid, reason)
    return step


def _make_one(
    uid: str,
    data: DataSettings,
    masks: Masks,
    settings: CropSettings,
    kind: str,
    boxes: pd.DataFrame,
    provenance: dict[str, Any],
) -> None:
    """Cuts one study, unless another command has just done so. Raises StudyError, OutputError, StudyBusy."""
    path = path_of(data, kind, uid)
    with only_one_makes(path):
        if store.is_current(path, provenance, CROPS):
            return
        cache = CtCache(data.run / "cache")
        ct = cache.volume(uid)
        if kind == "naive":
            crops = shrink_study(ct, settings)
        else:
            mask, turn = segmentation_on(ct, masks.path(uid), masks.scheme), turned_beside(masks.path(uid))
            known = None if turn else cache.boxes(uid, boxes)  # boxes lie where the header says
            crops = cut_study(turned(ct, turn), turned(mask, turn), settings, known)
            crops = replace(crops, alternatives=alternatives_beside(masks.path(uid)))
        save(path, crops)
        store.write_record(path, provenance, CROPS)
