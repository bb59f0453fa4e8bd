"""A whole prediction held against anatomy: a header that turns the patient round is found out, and undone on
request."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from common.errors import WrongOrientation
from common.masks.segmentation import onto
from common.masks.turned import AXES, turned
from common.volume import Volume
from stage1_segment.inference.anatomy.body_directions import balance, direction_cues
from stage1_segment.inference.anatomy.row import row_contradictions
from stage1_segment.settings import Orientation

if TYPE_CHECKING:
    from stage1_segment.inference.segmenter import Segmentation

TURNS: dict[tuple[str, ...], str] = {
    ("up",): "upside down",
    ("forward",): "front to back, as an LPS array under a RAS header is",
    ("forward", "up"): "upside down and front to back",
}
AGAINST, FOR = -0.4, 0.3
"""Sums of the cues' weights (each -1..1) along a direction, from which on the header is contradicted or confirmed.
Right real scans have 1.7 and more forward, 1.2 and more up, but for a narrow chest: -0.28 (docs/orientation.md)."""


@dataclass(frozen=True)
class Judgement:
    """Of a prediction: `against`, the directions that anatomy contradicts; `reasons`, a sentence each; `row`, what no
    row of levels has, likewise; `confirmed`, the directions that are seen to be right."""

    against: tuple[str, ...]
    reasons: tuple[str, ...]
    row: tuple[str, ...]
    confirmed: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return (*self.reasons, *self.row)


def checked(
    ct: Volume, segment: "Callable[[Volume], Segmentation]", orientation: Orientation = "refuse"
) -> "Segmentation":
    """The prediction of `segment` for a CT (HU, any orientation) on its own grid, with what contradicts anatomy as
    notices.

    Where the scan contradicts its header, each turn of it is tried. When just one of them is right: WrongOrientation,
    or with "repair" the prediction for the scan so turned, whose mask still lies on the file's own voxels.
    """
    prediction = segment(ct)
    judged = judge(ct, prediction.mask)
    if not judged.against:
        return replace(prediction, notices=(*prediction.notices, *judged.sentences))
    scans = {turn: turned(ct, turn) for turn in TURNS}
    turns = {turn: segment(scan) for turn, scan in scans.items()}
    right = [turn for turn, scan in scans.items() if _explains(judge(scan, turns[turn].mask), judged)]
    seen = "; ".join(judged.sentences)
    if len(right) != 1:
        unsure = f"the scan contradicts its header ({seen}), and no single turn of it is right: look at the picture"
        return replace(prediction, notices=(*prediction.notices, unsure))
    how = TURNS[right[0]]
    if orientation == "refuse":
        raise WrongOrientation(
            f"the header shows the patient {how} ({seen}); correct its affine, or accept the turn with "
            "--orientation repair (the mask stays on the file's own voxels)"
        )
    fixed = turns[right[0]]
    mask = onto(turned(fixed.mask, right[0]), ct.grid)
    said = f"the header shows the patient {how} ({seen}): segmented as turned round; left and right can't be told"
    return replace(fixed, mask=mask, notices=(*fixed.notices, said), turned=right[0])


def _explains(turn: Judgement, before: Judgement) -> bool:
    """Whether a turn sets right what was contradicted, contradicts nothing else and makes the row no worse."""
    return set(before.against) <= set(turn.confirmed) and not turn.against and len(turn.row) <= len(before.row)


def judge(ct: Volume, mask: Volume) -> Judgement:
    """A prediction (mask of `labels.CLASS_NAMES`, on the CT's grid) held against what the scan shows."""
    cues = direction_cues(ct, mask)
    sums = {along: balance(cues, along) for along in AXES}
    against = tuple(along for along in AXES if sums[along] < AGAINST)
    reasons = tuple(cue.text for cue in cues if cue.along in against and cue.weight < 0)
    confirmed = tuple(along for along in AXES if sums[along] > FOR)
    return Judgement(against, reasons, row_contradictions(mask), confirmed)
