"""What is seen along the lines of hard necks, with the truth: what the certainty of the count is fitted and measured
on. Kept in a folder, a file for each neck, so that a second call makes only what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from common.device import prediction_precision
from common.errors import CorruptFile
from common.labels import LEVEL_IDS
from common.outputs import store
from common.progress import progress
from common.volume import Volume
from stage1_segment.evaluation.hard_necks import PER_SUBJECT, HardNeck, draw_subject, make_neck
from stage1_segment.evaluation.level_truth import drifted, named_rightly
from stage1_segment.inference.levels.line import across
from stage1_segment.inference.levels.model import LevelModel
from stage1_segment.inference.levels.profile import RADIUS_MM, Profile, names_at
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.schema import LEVEL_EXAMPLE

DRIFTS = 2
"""Masks with drifted borders made of each neck whose own is right."""
BEFORE = "before_"
"""In a neck's file, of the mask before its borders were drawn again."""


@dataclass(frozen=True, eq=False)
class Example:
    """`kind`: of the neck (`hard_necks.KINDS`), or "drifted"; `seen`: along its line; `truth` (N,): the vertebrae
    there; `right`: whether the mask names them all rightly; `before`: the same of the mask before its borders were
    drawn again, None where they weren't."""

    kind: str
    seen: Profile
    truth: np.ndarray
    right: bool
    before: "Example | None" = None

    @property
    def undrawn(self) -> "Example":
        """Of the mask as the second pass made it."""
        return self.before or self


def examples(
    folder: Path, seed: int, necks: range, weights: Path, model: LevelModel, device: str = "auto",
    precision: str | None = None,
) -> list[Example]:  # fmt: skip
    """Of the necks in whose scan a line and a cervical level on it was found, and variants of the right ones whose
    borders drifted. `model`: by which borders are drawn again; `precision`: of the network, None for that of its
    weights. Raises WeightsError, CorruptFile."""
    found = []
    for number, example in zip(necks, _necks(folder, seed, necks, weights, model, device, precision)):
        if example is None:
            continue
        found.append(example)
        for drift in range(DRIFTS if example.right else 0):
            moved = drifted(example.seen, example.truth, np.random.default_rng([seed, number, drift]))
            found.append(_example("drifted", moved, example.truth))
    return found


def _necks(
    folder: Path, seed: int, necks: range, weights: Path, model: LevelModel, device: str, precision: str | None
) -> Iterator[Example | None]:
    given = [store.digest_file(weights)[:12], precision or "own", f"{LEVEL_EXAMPLE.number}", digest(model), str(seed)]
    for number in progress(necks, len(necks), "hard necks"):
        path = folder / f"{'-'.join(given)}-{number:05d}.npz"
        if not path.is_file():
            _make(path, seed, number, replace(_segmenter(weights, device, precision), levels=model))
        yield _load(path)


def digest(model: LevelModel) -> str:
    """Of all by which borders are drawn again: of the chain, not of the line from its odds to a certainty."""
    chain = replace(model, intercept=0.0, slope=1.0)
    return sha256(repr(sorted(chain.to_json().items())).encode()).hexdigest()[:8]


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
    found = segment(neck.ct, segmenter)
    content = {"kind": np.array(neck.kind), **_arrays(found.profile, neck, ""), **_arrays(found.before, neck, BEFORE)}
    with store.atomic(path) as scratch:
        np.savez_compressed(scratch, allow_pickle=False, **content)


def _arrays(seen: Profile | None, neck: HardNeck, prefix: str) -> dict[str, np.ndarray]:
    if seen is None:
        return {}
    arrays = {name: np.asarray(getattr(seen, name)) for name in Profile.__dataclass_fields__}
    arrays["truth"] = names_at(neck.truth, across(seen.line, RADIUS_MM))
    return {prefix + name: array for name, array in arrays.items()}


def _load(path: Path) -> Example | None:
    """None where no line or no level was found."""
    try:
        with np.load(path, allow_pickle=False) as content:
            whole = {name: content[name] for name in content.files}
            kind = str(whole.pop("kind"))
            found, before = _read(kind, whole, ""), _read(kind, whole, BEFORE)
    except (OSError, ValueError, KeyError) as error:
        raise CorruptFile(f"{path}: no example of a hard neck ({error}); remove it and call again") from None
    return None if found is None else replace(found, before=before)


def _read(kind: str, content: dict[str, np.ndarray], prefix: str) -> Example | None:
    if prefix + "truth" not in content:
        return None
    arrays = {name: content[prefix + name] for name in Profile.__dataclass_fields__}
    above, below = (float(arrays.pop(name)) for name in ("above_mm", "below_mm"))
    seen = Profile(**arrays, above_mm=above, below_mm=below)
    named = np.isin(seen.names, list(LEVEL_IDS.values())).any()
    return _example(kind, seen, content[prefix + "truth"]) if named else None


def _example(kind: str, seen: Profile, truth: np.ndarray) -> Example:
    return Example(kind, seen, truth, named_rightly(seen.names, truth))
