"""Looks at a whole competition folder and reports every fault at once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.dataset.competition import mask_uid, masks_in
from common.dataset.faults import KINDS, Fault
from common.dataset.ids import UID, is_uid
from common.dataset.tables import read_table
from common.dataset.verify_scans import Job, check_study
from common.dataset.verify_tables import check_boxes, check_labels, check_test
from common.errors import DatasetError
from common.labels import TARGETS
from common.progress import progress
from common.workers.pool import Failed, here_or, shared

IN_PROCESS = 8
"""Up to this many studies are looked at without starting processes."""


@dataclass(frozen=True)
class Report:
    """`counts`: how many studies, masks, boxes were looked at. `faults`: sorted by kind and place."""

    counts: dict[str, int]
    faults: list[Fault]

    def as_json(self) -> dict[str, Any]:
        kinds = Counter(fault.kind for fault in self.faults)
        return {
            "clean": not self.faults,
            "counts": self.counts,
            "faults_by_kind": dict(sorted(kinds.items())),
            "faults": [asdict(fault) for fault in self.faults],
        }

    def as_table(self) -> str:
        """A line for each fault, grouped by kind, and a line of counts."""
        lines = []
        for kind, meaning in KINDS.items():
            found = [fault for fault in self.faults if fault.kind == kind]
            if found:
                lines.append(f"{kind} ({len(found)}): {meaning}")
                width = max(len(fault.where) for fault in found)
                lines += [f"  {fault.where:<{width}}  {fault.detail}" for fault in found]
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return "\n".join([*lines, f"{len(self.faults)} faults; {counts}"])


def verify(root: Path, deep: bool = False, workers: int = 1) -> Report:
    """Every fault of a competition folder: tables, images, masks, boxes; `deep` also decodes every slice.

    Raises DatasetError only when `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; give the competition's folder")
    faults: list[Fault] = []
    labels = check_labels(root / "train.csv", faults)
    test = check_test(root, faults)
    if (root / "test_labels.csv").is_file():
        check_labels(root / "test_labels.csv", faults)
    train = _studies(root / "train.csv")
    if train == [] and test == []:
        faults.append(Fault("table", "train.csv", "neither it nor test.csv names a study"))
    if labels is None:
        labels = pd.DataFrame(columns=list(TARGETS))
    boxes = check_boxes(root / "train_bounding_boxes.csv", labels, None if train is None else set(train), faults)
    for uid in sorted(set(train or ()) & set(test or ())):
        faults.append(Fault("train and test", uid, "named in both, expected in one"))
    jobs = [
        *_jobs(root, "train", train, boxes, deep, faults),
        *_jobs(root, "test", test, boxes.iloc[:0], deep, faults),
    ]
    for found in progress(_checked(jobs, workers), len(jobs), "checking studies"):
        faults += found
    counts = {
        "training studies": len(train or ()),
        "test studies": len(test or ()),
        "masks": sum(job.mask is not None for job in jobs),
        "boxes": len(boxes),
    }
    return Report(counts, sorted(set(faults)))


def _jobs(
    root: Path, part: str, studies: list[str] | None, boxes: pd.DataFrame, deep: bool, faults: list[Fault]
) -> Iterator[Job]:
    """A job for each study of a table; studies without images and images or masks without a row are faults. `studies`
    None: the table can't be read, which is a fault by itself."""
    if studies is None:
        return
    images = root / f"{part}_images"
    masks = root / ("segmentations" if part == "train" else "test_segmentations")
    by_uid = {mask_uid(path): path for path in masks_in(masks)}
    present = {path.name for path in images.iterdir() if path.is_dir()} if images.is_dir() else set()
    by_study = dict(tuple(boxes.groupby(UID)))
    for uid in sorted(present - set(studies)):
        faults.append(Fault("no row", uid, f"{images.name}/{uid} isn't named in {part}.csv"))
    for uid in sorted(set(by_uid) - set(studies)):
        faults.append(Fault("mask", uid, f"{masks.name}/{by_uid[uid].name} belongs to no study of {part}.csv"))
    for uid in studies:
        if uid not in present:
            faults.append(Fault("no images", uid, f"in {part}.csv, but there is no {images.name}/{uid}"))
        folder = images / uid if uid in present else None
        yield Job(uid, folder, by_uid.get(uid), by_study.get(uid, boxes.iloc[:0]), deep)


def _checked(jobs: list[Job], workers: int) -> Iterator[list[Fault]]:
    workers = here_or(workers, few=len(jobs) <= IN_PROCESS)
    for number, found in shared(check_study, {number: (job,) for number, job in enumerate(jobs)}, workers):
        yield [Fault("scan", jobs[number].uid, found.message)] if isinstance(found, Failed) else found


def _studies(table: Path) -> list[str] | None:
    """The studies a table names, even where its other columns are wrong; None when it can't be read."""
    try:
        return [uid for uid in dict.fromkeys(read_table(table, (UID,))[UID]) if is_uid(uid)]
    except DatasetError:
        return None
