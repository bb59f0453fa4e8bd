"""Segments one CT in two passes: the whole scan coarsely, then the spine at finer spacing."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from common.config import parse_saved
from common.device import choose_device, prediction_precision
from common.labels import CLASS_NAMES
from common.masks.segmentation import onto
from common.reading.study import Study, volume_of
from common.resample import canonical
from common.training.weights import load_state, load_weights
from common.volume import Grid, Volume
from stage1_segment.inference.anatomy import orientation as anatomy
from stage1_segment.inference.bone_guard import bone_alone
from stage1_segment.inference.levels.abstain import said_of, without_uncertain
from stage1_segment.inference.levels.along_discs import DRAWN_AGAIN_BELOW, moved_to_discs
from stage1_segment.inference.levels.certainty import LevelCertainty, certainty_of, log_odds
from stage1_segment.inference.levels.model import LevelModel, model_beside
from stage1_segment.inference.levels.profile import Profile, read_profile, renamed
from stage1_segment.inference.outgrowths import with_outgrowths
from stage1_segment.inference.passes import border_of, coarse_pass, fine_pass, spine_region
from stage1_segment.inference.pits import closed
from stage1_segment.inference.postprocess import postprocess
from stage1_segment.inference.upsample import upsampled_labels
from stage1_segment.network import build_network
from stage1_segment.network_input import covering_grid
from stage1_segment.pretrained import PRETRAINED
from stage1_segment.settings import KIND, NetworkSettings, Orientation, PatchSettings, PredictSettings


@dataclass(frozen=True, eq=False)
class Segmentation:
    """`mask`: uint8, values of `labels.CLASS_NAMES`, on the CT's own grid. `confidence`: mask value -> the
    network's mean probability for it, over the voxels it gave it to. `notices`: a sentence each."""

    mask: Volume
    confidence: dict[int, float]
    notices: tuple[str, ...]
    turned: tuple[str, ...] = ()
    """Directions in which the scan was turned round before, see `orientation`."""
    profile: Profile | None = None
    """What is seen along the line through the bodies, by which the levels are counted."""
    certainty: LevelCertainty | None = None
    """How certain the count is; None where that isn't known."""
    before: Profile | None = None
    """As `profile`, of the mask before its borders were drawn again along the discs; None where they weren't."""
    unnamed: tuple[str, ...] = ()
    """Levels that were found and lost their name, see `PredictSettings.certain`."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network of stage 1, ready to label scans.

    >>> segmentation = Segmenter.pretrained()(common.read_study("scan.zip"))
    >>> segmentation.mask.array   # (X, Y, Z) uint8: 1..7 = C1..C7, 8 = every thoracic vertebra

    `network`: (N, 2, S, S, S) CT and previous pass -> (N, 9, S, S, S) logits."""

    network: nn.Module
    patch: PatchSettings
    predict: PredictSettings
    device: torch.device
    levels: LevelModel | None = None
    """By which the certainty of the level count is worked out; None: it isn't."""

    @classmethod
    def pretrained(cls, device: str = "auto") -> "Segmenter":
        """With the weights for real scans that come with the project (weights/CARD.md). Raises as `load`."""
        return cls.load(PRETRAINED, device)

    @classmethod
    def load(cls, weights: Path | str, device: str = "auto", predict: PredictSettings | None = None) -> "Segmenter":
        """From a weights file; `predict` None takes the settings it was trained with; of precision "auto", what that
        means here. `device`: auto, cpu, cuda or cuda:N.
        Raises WeightsError (absent, damaged, not of this stage), ConfigError (no such device)."""
        weights, chosen = Path(weights), choose_device(device)
        state, description = load_weights(weights, KIND, ("network", "patch", "predict"))
        predict = predict or parse_saved(description["predict"], PredictSettings, str(weights))
        network = build_network(parse_saved(description["network"], NetworkSettings, str(weights)))
        load_state(network, state, weights)
        return cls(
            network.to(chosen).eval(),
            parse_saved(description["patch"], PatchSettings, str(weights)),
            predict.model_copy(update={"precision": prediction_precision(predict.precision, device)}),
            chosen,
            model_beside(weights),
        )

    def __call__(self, study: Study | Volume, orientation: Orientation | None = None) -> Segmentation:
        """The vertebrae of a CT (X, Y, Z) in HU of any orientation, on its own grid, held against anatomy.

        `orientation`: what becomes of a header that turns the patient round, "refuse" or "repair"; None for what
        `predict` says. Raises WrongOrientation (with "refuse"), TypeError (neither Study nor Volume)."""
        predict = partial(segment, segmenter=self)
        found = anatomy.checked(volume_of(study), predict, orientation or self.predict.orientation)
        return found if self.levels is None else _told(found, self.predict.certain)


def segment(volume: Volume, segmenter: Segmenter) -> Segmentation:
    """The vertebrae of a CT (HU, any orientation), on its own grid."""
    scan = canonical(volume)
    coarse = coarse_pass(scan, segmenter)
    found = spine_region(coarse, scan.grid, segmenter.predict.margin_mm)
    empty = Volume(np.zeros_like(scan.array, np.uint8), scan.affine)
    if found is None:
        return Segmentation(onto(empty, volume.grid), {}, ("no vertebra found",))
    start, stop = found
    first = _labelled(scan, coarse, start, stop, segmenter)
    best = _drawn_again(first, scan, start, stop, segmenter)
    empty.array[tuple(map(slice, start, stop))] = best.labels
    return Segmentation(
        onto(empty, volume.grid),
        _confidence(best.logits),
        best.notices,
        profile=best.seen,
        certainty=best.certainty,
        before=None if best is first else first.seen,
    )


@dataclass(frozen=True, eq=False)
class _Labelled:
    """A region's labels (X, Y, Z) uint8 on the scan's voxels, the logits (9, x, y, z) behind them on `grid`, what was
    changed, what is seen along the spine, and how certain the level count is."""

    labels: np.ndarray
    logits: Tensor
    grid: Grid
    notices: tuple[str, ...]
    seen: Profile | None
    certainty: LevelCertainty | None


def _labelled(scan: Volume, previous: Volume, start: np.ndarray, stop: np.ndarray, segmenter: Segmenter) -> _Labelled:
    """The second pass over a region, and what anatomy makes of it; `previous`: level numbers of a pass before it."""
    region = scan.crop(start, stop)
    hu, logits = fine_pass(scan, previous, start, stop, segmenter)
    border = border_of(region, hu, logits, segmenter)
    labels = upsampled_labels(logits, stop - start, border)
    labels, notices = postprocess(labels, scan.spacing, segmenter.predict.postprocess)
    labels, flat = bone_alone(labels, region.array, segmenter.predict.postprocess.min_level_sd_hu)
    if border is not None:
        labels = closed(with_outgrowths(labels, region.array, scan.spacing, border.between(1 / 3)), scan.spacing)
    grid = covering_grid(region.grid, segmenter.patch.fine_mm)
    seen = read_profile(torch.softmax(logits, dim=0).cpu().numpy(), grid, region.with_array(labels), region, scan.grid)
    certainty = None if segmenter.levels is None else certainty_of(seen, segmenter.levels)
    return _Labelled(labels, logits, grid, (*notices, *flat), seen, certainty)


def _drawn_again(
    first: _Labelled, scan: Volume, start: np.ndarray, stop: np.ndarray, segmenter: Segmenter
) -> _Labelled:
    """Where the level count is doubted and borders lie off the discs, the second pass once more, shown names that were
    moved to the discs; kept where the count is surer then. The study's certainty stays that of before: of hard necks as
    many masks become wrong by this as become right (docs/levels.md)."""
    if segmenter.levels is None or first.seen is None or first.certainty is None:
        return first
    odds = log_odds(first.seen, segmenter.levels)
    if odds >= DRAWN_AGAIN_BELOW:
        return first
    drawn = Volume(first.logits.argmax(dim=0).cpu().numpy().astype(np.uint8), first.grid.affine)
    moved = moved_to_discs(drawn, first.seen, segmenter.levels)
    if moved is None:
        return first
    numbers = moved.with_array(moved.array.astype(np.float32))
    again = _labelled(scan, numbers, start, stop, segmenter)
    seen = renamed(first.seen, scan.crop(start, stop).with_array(again.labels))
    certainty = certainty_of(seen, segmenter.levels)
    if certainty is None or log_odds(seen, segmenter.levels) <= odds:
        return first
    notice = "borders were drawn again along the discs, since the level count was doubted"
    certainty = replace(certainty, study=first.certainty.study)
    return replace(again, notices=(*again.notices, notice), seen=seen, certainty=certainty)


def _told(found: Segmentation, least: float) -> Segmentation:
    """A segmentation that tells its certainty, without the names of levels less certain than `least`."""
    mask, unnamed = without_uncertain(found.mask, found.certainty, least)
    notices = (*found.notices, *said_of(found.certainty, unnamed, least))
    return replace(found, mask=mask, unnamed=unnamed, notices=notices)


def _confidence(logits: Tensor) -> dict[int, float]:
    """Mask value -> mean probability over the voxels that have it; in slabs, for the logits are large enough."""
    count, total = (torch.zeros(len(CLASS_NAMES), dtype=torch.float64) for _ in range(2))
    for slab in logits.split(16, dim=3):
        best, labels = (found.cpu().flatten() for found in torch.softmax(slab, dim=0).max(dim=0))
        count += torch.bincount(labels, minlength=len(count))
        total += torch.bincount(labels, best.double(), minlength=len(count))
    return {v: round(float(total[v] / count[v]), 4) for v in range(1, len(count)) if count[v] > 0}
