"""What is seen along the lines of hard necks, with the truth: what the certainty of the count is fitted and measured
on. Kept in a folder, a file for each neck, so that a second call makes only what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.device import prediction_precision
from common.errors import CorruptFile
from common.outputs import store
from common.progress import progress
from common.volume import Volume
from stage1_segment.evaluation.hard_necks import PER_SUBJECT, draw_subject, make_neck
from stage1_segment.evaluation.level_truth import drifted, named_rightly
from stage1_segment.inference.levels.line import across
from stage1_segment.inference.levels.profile import RADIUS_MM, Profile, names_at
from stage1_segment.inference.segmenter import Segmenter, segment

DRIFTS = 2
"""Masks with drifted borders made of each neck whose own is right."""


@dataclass(frozen=True, eq=False)
class Example:
    """`kind`: of the neck (`hard_necks.KINDS`), or "drifted"; `seen`: along its line; `truth` (N,): the vertebrae
    there; `right`: whether the mask names them all rightly."""

    kind: str
    seen: Profile
    truth: np.ndarray
    right: bool


def examples(
    folder: Path, seed: int, necks: range, weights: Path, device: str = "auto", precision: str | None = None
) -> list[Example]:
    """Of the necks in whose scan a line and a cervical level was found, and their drifted variants. `precision`: of the
    network, None for that of its weights."""
    found = []
    for number, (kind, seen, truth) in zip(necks, _necks(folder, seed, necks, weights, device, precision)):
        if seen is None or not (seen.names > 0).any():
            continue
        right = named_rightly(seen.names, truth)
        found.append(Example(kind, seen, truth, right))
        for drift in range(DRIFTS if right else 0):
            moved = drifted(seen, truth, np.random.default_rng([seed, number, drift]))
            found.append(Example("drifted", moved, truth, named_rightly(moved.names, truth)))
    return found


def _necks(
    folder: Path, seed: int, necks: range, weights: Path, device: str, precision: str | None
) -> Iterator[tuple[str, Profile | None, np.ndarray]]:
    own = "-".join([store.digest_file(weights)[:12], *([precision] if precision else []), str(seed)])
    for number in progress(necks, len(necks), "hard necks"):
        path = folder / f"{own}-{number:05d}.npz"
        if not path.is_file():
            _make(path, seed, number, _segmenter(weights, device, precision))
        yield _load(path)


@lru_cache(maxsize=1)
def _segmenter(weights: Path, device: str, precision: str | None) -> Segmenter:
    segmenter = Segmenter.load(weights, device)
    update = {"precision": prediction_precision(precision, device)} if precision else {}
    return replace(segmenter, predict=segmenter.predict.model_copy(update=update))


@lru_cache(maxsize=1)
def _subject(seed: int, number: int) -> Volume:
    return draw_subject(seed, number)


def _make(path: Path, seed: int, number: int, segmenter: Segmenter) -> None:
    neck = make_neck(_subject(seed, number // PER_SUBJECT), seed, number)
    seen = segment(neck.ct, segmenter).profile
    content: dict[str, np.ndarray] = {"kind": np.array(neck.kind)}
    if seen is not None:
        content |= {name: np.asarray(getattr(seen, name)) for name in Profile.__dataclass_fields__}
        content["truth"] = names_at(neck.truth, across(seen.line, RADIUS_MM))
    with store.atomic(path) as scratch:
        np.savez_compressed(scratch, allow_pickle=False, **content)


def _load(path: Path) -> tuple[str, Profile | None, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            kind = str(content["kind"])
            if "truth" not in content:
                return kind, None, np.zeros(0, np.uint8)
            arrays = {name: content[name] for name in Profile.__dataclass_fields__}
            truth = content["truth"]
    except (OSError, ValueError, KeyError) as error:
        raise CorruptFile(f"{path}: no example of a hard neck ({error}); remove it and call again") from None
    above, below = (float(arrays.pop(name)) for name in ("above_mm", "below_mm"))
    return kind, Profile(**arrays, above_mm=above, below_mm=below), truth
