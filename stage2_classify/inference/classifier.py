"""Networks of stage 2 ready to predict: crops, or a scan with its mask, to probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.device import check_device, prediction_precision
from common.errors import WeightsError
from common.labels import LEVELS, OVERALL
from common.outputs import store
from common.reading.study import Study, volume_of
from common.volume import Volume
from stage2_classify.calibration import decide, mixture
from stage2_classify.calibration.calibration import Calibration
from stage2_classify.calibration.local_map import LocalMap, load_local_map, moved_alike
from stage2_classify.crops.cut import Crops
from stage2_classify.crops.likeness import UNLIKE, unlike
from stage2_classify.crops.one_study import Mask, crops_of, turn_of
from stage2_classify.inference.compatibility import check_alike, check_described, read_decision
from stage2_classify.inference.evidence_map import evidence_of
from stage2_classify.inference.result import NO_LEVEL, NOT_JUDGED, Result, not_judged
from stage2_classify.prediction import Prediction
from stage2_classify.pretrained.encoder import PRETRAINED
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from stage2_classify.predictor import Predictor, Seen


@dataclass(frozen=True, eq=False)
class Classifier:
    """An ensemble of networks and the fit that reads their logits.

    >>> result = Classifier.load("runs/phantom")(study, segmentation)
    >>> result.table    # level, probability, calibrated, flags

    `calibration`: fitted on out-of-fold logits, None without one. `augmented`: test-time augmentation by `other_view`.
    `unjudged`: flags with which a level is predicted from the prior and the other levels, whatever the networks say.
    `decision`: digest of the decision.json that has it. `local_map`: what local studies made of its probabilities."""

    predictors: "tuple[Predictor, ...]"
    calibration: Calibration | None
    augmented: bool
    unjudged: tuple[str, ...] = ()
    decision: str | None = None
    local_map: LocalMap | None = None

    @classmethod
    def load(
        cls,
        weights: Path | str | Sequence[Path | str],
        device: str = "auto",
        precision: str = "32-true",
        settings: ClassifySettings | None = None,
        calibration: Path | str | None = None,
    ) -> "Classifier":
        """From a run's folder, a folder with fold*/weights.safetensors, or weights files; decision.json beside the
        folds is used where it lies, and must have been fitted on just these networks.

        `device`: auto, cpu, cuda or cuda:N. `precision`: 32-true, bf16-mixed, 16-mixed or auto. `settings`: what the
        weights must have been trained with, if given. `calibration`: a local map that `calibrate-locally` saved
        (docs/local_calibration.md). Raises WeightsError (absent, damaged, not alike, not of these settings or this
        decision, or a local map of others), ConfigError (no such device or precision)."""
        from stage2_classify.predictor import load_predictor

        check_device(device)
        precision = prediction_precision(precision, device)
        paths = find_weights([weights] if isinstance(weights, str | Path) else weights)
        if settings is not None:
            check_described(paths, settings)
        check_alike(paths)
        predictors = tuple(load_predictor(path, device, precision) for path in paths)
        # .../stage2/fold0/weights.safetensors -> .../stage2/decision.json
        decision = paths[0].parent.parent / "decision.json"
        digests = [predictor.digest for predictor in predictors]
        fit, fitted = read_decision(decision, digests)
        its_digest = None if fit is None else store.digest_file(decision)
        local_map = None if calibration is None else load_local_map(calibration, digests, its_digest)
        own = fitted or predictors[0].settings.decision
        return cls(predictors, fit, own.test_time_augmentation, own.unjudged, its_digest, local_map)

    @classmethod
    def pretrained(
        cls, device: str = "auto", precision: str = "32-true", calibration: Path | str | None = None
    ) -> "Classifier":
        """The network that comes with the project, for scans of people (stage2_classify/weights/CARD.md). It has seen
        no real fracture. `calibration`: see `load`. Raises WeightsError, ConfigError."""
        return cls.load(PRETRAINED, device, precision, calibration=calibration)

    def __call__(self, study: Study | Volume, mask: Mask, scheme: str = "merged", with_map: bool = True) -> Result:
        """The prediction about a CT (X, Y, Z) in HU of any orientation.

        `mask`: a NIfTI's path (or a folder with a file per vertebra) or a Volume on any grid, whose whole numbers
        follow `scheme` (docs/masks.md; "merged" is 1..7 = C1..C7, 8 = thoracic), or stage 1's Segmentation. A level
        that isn't in the mask is flagged, and without any the prediction is the prior. `with_map=False`: without
        `Result.evidence`, which is as large as the scan. Raises GridMismatch (a mask of
        another scan), UnsupportedStudy (values that aren't the scheme's), CorruptFile, NothingFound, ConfigError (no
        such scheme), TypeError."""
        crops = crops_of(volume_of(study), mask, scheme, self.predictors[0].settings)
        uid = (study.uid if isinstance(study, Study) else None) or ""
        seen = self._look(crops)
        decided = self._decided(uid, crops, seen)
        # Of a header that turns the patient, evidence would lie at wrong places.
        evidence = None if turn_of(mask) else evidence_of(seen, crops, _of_judged(decided))
        return Result(
            decided,
            self.digests,
            scheme,
            self.caveats,
            self.predictors[0].precision,
            crops.images[:, 0] if len(crops.images) == len(crops.present) else None,
            None if evidence is None or not with_map else evidence.on(volume_of(study).grid),
            {} if evidence is None else evidence.peaks,
            decision=self.decision,
            local_map=self.local_map,
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the networks learned from, where their user must know: a sentence each."""
        return tuple(dict.fromkeys(predictor.caveat for predictor in self.predictors if predictor.caveat))

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each network's weights file."""
        return tuple(predictor.digest for predictor in self.predictors)

    def _unlike(self, crops: Crops) -> dict[str, list[str]]:
        """Level -> the flag of a picture unlike those that the networks learned from."""
        if len(crops.images) != len(crops.present):
            return {}
        return unlike(crops, self.predictors[0].ranges, self.predictors[0].settings.crops)

    def _forbids(self, flag: str) -> bool:
        return flag in self.unjudged or flag.startswith(UNLIKE)

    def predict(self, uid: str, crops: Crops) -> Prediction:
        """Crops of a study -> its probabilities (8,), flags and notices, by all networks together."""
        return self._decided(uid, crops, self._look(crops))

    def _look(self, crops: Crops) -> "list[Seen]":
        return [predictor.look(crops, self.augmented) for predictor in self.predictors]

    def _decided(self, uid: str, crops: Crops, seen: "Sequence[Seen]") -> Prediction:
        """What each network saw in the crops -> the prediction."""
        logits = np.stack([one.logits for one in seen])
        prior = np.mean([predictor.prior for predictor in self.predictors], axis=0)
        flags = {level: list(remarks) for level, remarks in crops.flags.items()}
        for level, remarks in self._unlike(crops).items():
            flags.setdefault(level, []).extend(remarks)
        notices = crops.notices
        if not crops.present.any():
            flags[OVERALL] = [NO_LEVEL]
            notices = (*notices, NO_LEVEL)
        judged = crops.present.copy()
        for row, level in enumerate(LEVELS):
            if reasons := [flag for flag in flags.get(level, ()) if judged[row] and self._forbids(flag)]:
                judged[row] = False
                flags[level].append(f"{NOT_JUDGED}: {', '.join(reasons)}")
        decided = decide.decide(logits, judged, prior, self.calibration)
        if crops.alternatives:
            nothing = decide.decide(logits, np.zeros_like(judged), prior, self.calibration)
            decided = mixture.mixed(decided, nothing, judged, crops.alternatives)
        if self.local_map is None or decided.calibrated is None:
            return Prediction(uid, decided.answer, flags, decided.calibrated, decided.network, notices)
        before, answer, rows = decided.calibrated[None], decided.answer[None], judged[None]
        after = self.local_map(before, rows)
        if judged.any():
            answer = moved_alike(answer, before, after, rows)
            notices = (*notices, self.local_map.notice)
        return Prediction(uid, answer[0], flags, after[0], decided.network, notices, decided.calibrated)


def _of_judged(decided: Prediction) -> np.ndarray:
    """(7,): how likely each level's fracture is; 0 where the picture didn't count, so that its evidence isn't shown."""
    likely = decided.probabilities if decided.calibrated is None else decided.calibrated
    ignored = not_judged(decided)
    return np.array([0.0 if level in ignored else likely[row] for row, level in enumerate(LEVELS)])


def find_weights(given: Sequence[Path | str]) -> list[Path]:
    """Files; run folders; or folders below which every `fold*/weights.safetensors` is taken. WeightsError when there is
    none, or a file is missing."""
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            here = path / "weights.safetensors"
            inside = sorted(path.glob("fold*/weights.safetensors")) or sorted(
                path.glob("stage2/fold*/weights.safetensors")
            )
            found += [here] if here.is_file() else inside
        else:
            found.append(path)
    return existing(found)


def existing(paths: list[Path]) -> list[Path]:
    """The paths, when all are files and there are some; else WeightsError."""
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        what = missing[0] if missing else "no weights"
        raise WeightsError(f"{what}: no such weights; train first (`make classify`), or name them with --weights")
    return paths
