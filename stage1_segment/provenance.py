"""What stage 1's samples and networks are made from, and whether they are current. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.dataset.folds import stored_folds
from common.errors import ConfigError, DatasetError
from common.outputs import store
from common.training.train import is_current
from stage1_segment.pretrained import init_path
from stage1_segment.run_folder import RunFolder
from stage1_segment.schema import SAMPLE, WEIGHTS
from stage1_segment.settings import SegmentSettings


@dataclass(frozen=True)
class Split:
    """Segmented training studies of one network: `learned` from, `held_out`."""

    learned: tuple[str, ...]
    held_out: tuple[str, ...]


def split(competition: Competition, data: DataSettings, settings: SegmentSettings) -> dict[int, Split]:
    """Trained fold -> its segmented studies. Raises ConfigError, DatasetError."""
    folds = stored_folds(data.run / "folds.csv", competition.train_labels(), data.folds, data.fold_seed)
    segmented = competition.segmented()
    splits = {}
    for fold in settings.train_folds:
        if not 0 <= fold < data.folds:
            raise ConfigError(f"segment.train_folds has {fold}, expected 0..{data.folds - 1}")
        learned = tuple(uid for uid in segmented if folds[uid] != fold)
        if not learned:
            raise DatasetError(
                f"{competition.root}: no segmented study outside of fold {fold}; segmentations/ must hold some"
            )
        splits[fold] = Split(learned, tuple(uid for uid in segmented if folds[uid] == fold))
    if not splits:
        raise ConfigError("segment.train_folds is empty; name at least one fold, such as [0]")
    return splits


def _segmentation(competition: Competition, uid: str) -> Path:
    found = competition.segmentation(uid)
    if found is None:
        raise DatasetError(f"{competition.root}/segmentations: the mask of {uid} is gone; put it back and run again")
    return found


def sample_provenance(
    competition: Competition, uid: str, data: DataSettings, settings: SegmentSettings
) -> dict[str, Any]:
    """What a study's training sample is made from: its scan in the cache, its mask's file."""
    return {
        "ct": CtCache(data.run / "cache").identity(uid),
        "segmentation": store.Files(_segmentation(competition, uid)),
        "fine_mm": settings.patch.fine_mm,
    }


def sample_identity(competition: Competition, uid: str, data: DataSettings, settings: SegmentSettings) -> str:
    """What a network depends on of a study that it learned from: its sample; the study's files where these can't be
    made into one, so that it is tried again when they have changed."""
    path = RunFolder(data.run).sample(uid)
    if store.is_current(path, sample_provenance(competition, uid, data, settings), SAMPLE):
        return str(store.recorded_digest(path))
    files = store.fingerprint(competition.images(uid)), store.fingerprint(_segmentation(competition, uid))
    return f"no sample of {store.digest_value(files)}"


def bank_split(settings: SegmentSettings) -> Split:
    """Files of the bank's subjects; the last ones by name are held out. Raises DatasetError."""
    files = [str(path) for path in bank_files(settings.synthetic.folder)]
    learned = max(len(files) - round(len(files) * settings.synthetic.held_out), 1)
    return Split(tuple(files[:learned]), tuple(files[learned:]))


def network_provenance(
    competition: Competition, part: Split, data: DataSettings, settings: SegmentSettings
) -> dict[str, Any]:
    """What a network's weights are made from, beside the settings of the training loop."""
    return {
        "learned": {uid: sample_identity(competition, uid, data, settings) for uid in part.learned},
        "held_out": list(part.held_out),
        **_common_provenance(settings),
    }


def bank_provenance(part: Split, settings: SegmentSettings) -> dict[str, Any]:
    """The same for a network that learns from an anatomy bank."""
    return {
        "learned": {Path(file).name: store.fingerprint(Path(file)) for file in part.learned},
        "held_out": [Path(file).name for file in part.held_out],
        "synthetic": settings.synthetic.model_dump(mode="json", exclude={"folder", "held_out"}),
        **_common_provenance(settings),
    }


def _common_provenance(settings: SegmentSettings) -> dict[str, Any]:
    start = init_path(settings)
    return {
        "schema": str(WEIGHTS),
        **settings.model_dump(mode="json", include={"network", "patch", "augment", "loss"}, exclude_none=True),
        **({"start": store.digest_file(start)} if start else {}),
    }


def provenances(data: DataSettings, settings: SegmentSettings) -> dict[int, tuple[Split, dict[str, Any]]]:
    """Trained fold -> its split and what its network's weights are made from. With a bank there is one network, which
    stands for the first of `train_folds` and has seen no study of the cohort."""
    if settings.source == "synthetic":
        part = bank_split(settings)
        return {settings.train_folds[0]: (part, bank_provenance(part, settings))}
    competition = Competition.open(data.root)
    splits = split(competition, data, settings)
    return {fold: (part, network_provenance(competition, part, data, settings)) for fold, part in splits.items()}


def all_current(data: DataSettings, settings: SegmentSettings) -> bool:
    """True when every fold's network is trained, from just this data and these settings."""
    run = RunFolder(data.run)
    if not all(run.weights(fold).is_file() for fold in settings.train_folds):
        return False
    return all(
        is_current(run.fold(fold), settings.train, provenance)
        for fold, (_, provenance) in provenances(data, settings).items()
    )


def bank_files(folder: Path) -> list[Path]:
    """The label maps of a bank, by name. Raises DatasetError when there are none."""
    files = sorted(Path(folder).glob("*.nii.gz"))
    if not files:
        raise DatasetError(
            f"{folder}: no anatomy bank (<name>.nii.gz) there; make one: python -m common.phantom.bank --out {folder}"
        )
    return files
