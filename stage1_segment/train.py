"""Trains a network for each fold."""

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from common import store
from common.config import DataSettings
from common.dataset.cache import CtCache
from common.dataset.competition import Competition
from common.errors import DatasetError
from common.labels import CLASS_NAMES
from common.progress import progress
from common.training import is_current, train
from common.volume import Volume
from stage1_segment.network import build_network
from stage1_segment.patches import make_patch
from stage1_segment.predict import Segmenter, segment
from stage1_segment.run_folder import RunFolder, Split, network_origin, sample_origin, split
from stage1_segment.samples import load_sample, write_sample
from stage1_segment.settings import KIND, SegmentSettings

VALIDATED = 4
"""Held-out studies that a validation during training looks at, at most; `evaluate` looks at all."""


class SegmentTask:
    """What stage 1 brings to the training loop (`common.training.Task`)."""

    def __init__(self, settings: SegmentSettings, learned: list[Path], held_out: list[Path]) -> None:
        self.settings = settings
        self.network = build_network(settings.network, settings.train.seed)
        self.samples = [load_sample(path) for path in learned]
        self.held_out = held_out[:VALIDATED]
        self.dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, reduction="none", smooth_nr=1, smooth_dr=1
        )

    def sample(self, draw: int) -> dict[str, Tensor]:
        """`image` (2, S, S, S) float32, `mask` (1, S, S, S) int64."""
        rng = np.random.default_rng([self.settings.train.seed, draw])
        study = self.samples[rng.integers(len(self.samples))]
        image, mask = make_patch(study, self.settings.patch, self.settings.augment, rng)
        return {"image": torch.from_numpy(image), "mask": torch.from_numpy(mask)[None]}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Dice over the levels that a patch holds + cross-entropy, each a mean over samples. A level that isn't there
        has a Dice of 0 whatever the network says, which would only drown the others."""
        logits, mask = network(batch["image"]), batch["mask"]
        entropy = functional.cross_entropy(logits, mask[:, 0])
        present = functional.one_hot(mask.flatten(1), len(CLASS_NAMES)).amax(1)[:, 1:].float()
        dice = self.dice(logits, mask).flatten(1)
        dice = ((dice * present).sum(1) / present.sum(1).clamp(min=1)).mean()
        return {"loss": dice + entropy, "dice_loss": dice, "cross_entropy": entropy}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of the levels in view, both passes, at the fine spacing."""
        device = next(network.parameters()).device
        segmenter = Segmenter(network, self.settings.patch, self.settings.predict, device)
        scores = []
        for path in self.held_out:
            sample = load_sample(path)
            answer = segment(Volume(sample.ct, sample.affine), segmenter).mask.array
            scores += [
                2 * np.sum((answer == v) & (sample.mask == v)) / (np.sum(answer == v) + np.sum(sample.mask == v))
                for v in range(1, 8)
                if (sample.mask == v).any()
            ]
        return {"dice": round(float(np.mean(scores)), 4)} if scores else {}


def train_folds(data: DataSettings, settings: SegmentSettings) -> list[Path]:
    """Trains what isn't current; returns the weights files. A segmented study that can't be read is reported
    and left out. Raises DatasetError when none is left."""
    competition = Competition.open(data.root)
    run = RunFolder(data.run)
    splits = split(competition, data, settings)
    failed = _make_samples(competition, run, splits, data, settings)
    for fold, part in splits.items():
        origin = network_origin(competition, part, settings)
        if is_current(run.fold(fold), settings.train, origin):
            continue
        learned = [run.sample(uid) for uid in part.learned if uid not in failed]
        held_out = [run.sample(uid) for uid in part.held_out if uid not in failed]
        if not learned:
            raise DatasetError(f"{data.root}: none of the {len(part.learned)} segmented studies can be read")
        description = {
            "kind": KIND,
            "classes": list(CLASS_NAMES),
            "fold": fold,
            "held_out": list(part.held_out),
            **settings.model_dump(mode="json", include={"network", "patch", "predict"}),
        }
        train(SegmentTask(settings, learned, held_out), settings.train, run.fold(fold), origin, description)
    return [run.weights(fold) for fold in splits]


def _make_samples(
    competition: Competition, run: RunFolder, splits: dict[int, Split], data: DataSettings, settings: SegmentSettings
) -> set[str]:
    """Makes the training samples that aren't current, in processes; returns the studies that failed."""
    uids = sorted({uid for part in splits.values() for uid in part.learned + part.held_out})
    origins = {uid: sample_origin(competition, uid, settings) for uid in uids}
    missing = [uid for uid in uids if not store.is_current(run.sample(uid), origins[uid])]
    if not missing:
        return set()
    cache = CtCache(data.run / "cache")
    failed = cache.fill({uid: competition.images(uid) for uid in missing}, data.workers)
    jobs = [
        (cache, uid, competition.segmentation(uid), run.sample(uid), origins[uid], settings.patch.fine_mm)
        for uid in missing
        if uid not in failed
    ]
    with ProcessPoolExecutor(max(data.workers, 1), get_context("spawn")) as pool:
        futures = {pool.submit(write_sample, *job): job[1] for job in jobs}
        for future in progress(as_completed(futures), len(futures), "training samples"):
            if future.result() is not None:
                failed[futures[future]] = future.result()
    for uid, reason in failed.items():
        print(f"{uid}: left out of the training: {reason}", file=sys.stderr)
    return set(failed)
