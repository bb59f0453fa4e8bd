"""One study's prediction as people and programs read it: a table, a figure, JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import __version__
from common.commandline import NOT_MEDICAL
from common.labels import LEVELS, OVERALL, TARGETS
from common.masks.files import is_own
from common.operating_point import OPERATING_POINT
from common.outputs.notices import json_beside
from common.outputs.store import read_json, write_text
from common.page.page import page
from common.reading.study import Study, volume_of
from common.volume import Volume
from stage2_classify.calibration.local_map import LocalMap
from stage2_classify.crops.one_study import Mask, labels_on
from stage2_classify.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stage2_classify.inference.evidence_map import Peak

NO_LEVEL = "no level in view, prior"
NOT_JUDGED = "not judged, prior"


def not_judged(prediction: Prediction) -> tuple[str, ...]:
    """The levels in view whose picture didn't count."""
    flags = prediction.flags
    return tuple(level for level in LEVELS if any(flag.startswith(NOT_JUDGED) for flag in flags.get(level, ())))


@dataclass(frozen=True, eq=False)
class Result:
    """What stage 2 says of one study.

    `prediction`: eight probabilities in the order of labels.TARGETS, with flags and notices. `weights`: digests of the
    networks' files. `scheme`: what the mask's values meant. `caveats`: what the networks
    learned from, where their user must know.
    `precision`: of their predictions. `pictures` (7, X, Y, Z) uint8: each level's CT window, axes right, anterior,
    superior, all 0 where it isn't in view (None: not kept). `evidence` (X, Y, Z) 0..1 on the scan's grid along right,
    anterior, superior: where a fracture is seen (None: no such networks, or a wrong header). `peaks`: level in view ->
    where its evidence is largest. `operating_point`: from this probability on a fracture is called suspected.
    `decision`: digest of the decision.json that calibrated. `local_map`: what was applied after it (None: nothing)."""

    prediction: Prediction
    weights: tuple[str, ...]
    scheme: str
    caveats: tuple[str, ...] = ()
    precision: str = "32-true"
    pictures: np.ndarray | None = None
    evidence: Volume | None = None
    peaks: "Mapping[str, Peak]" = field(default_factory=dict)
    operating_point: float = OPERATING_POINT
    decision: str | None = None
    local_map: LocalMap | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """A sentence each: of the reader, of the mask, of the prediction, of the networks."""
        return (*self.prediction.notices, *self.caveats)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """Levels in view whose picture didn't count (`decision.unjudged`): they have what prior and neighbours say."""
        return not_judged(self.prediction)

    @property
    def is_prior(self) -> bool:
        """Whether no level was in view, so that the prediction is the networks' prior."""
        return NO_LEVEL in self.prediction.flags.get(OVERALL, ())

    @property
    def table(self) -> "pd.DataFrame":
        """Eight rows, C1..C7 and patient_overall: `level`, `probability` (0..1, what the competition's score rewards),
        `calibrated` (0..1, how likely a fracture is; NaN without a fitted calibration), `flags` (text)."""
        import pandas as pd

        given = self.prediction
        return pd.DataFrame(
            {
                "level": TARGETS,
                "probability": np.asarray(given.probabilities, dtype=float),
                "calibrated": np.full(len(TARGETS), np.nan) if given.calibrated is None else given.calibrated,
                "flags": ["; ".join(given.flags.get(target, ())) for target in TARGETS],
            }
        )

    def plot(self) -> "Figure":
        """A matplotlib figure: the probabilities as bars, and beside them a sagittal slice through each level in view
        (anterior on the left). Show it in a notebook, or `.savefig("result.png")`."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.6), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1, 2))
        _bars(halves[0].subplots(), self.table)
        for panel, row in zip(halves[1].subplots(2, 4).flat, range(len(LEVELS) + 1)):
            panel.set_axis_off()
            if row < len(LEVELS):
                _slice(panel, row, self.pictures, self.prediction.probabilities[row])
        figure.supxlabel(self.to_json()["notice"], fontsize=7)
        return figure

    def save_page(self, path: Path | str, study: Study | Volume, mask: Mask, name: str = "") -> None:
        """Writes an HTML file that opens offline: the scan around the neck with its mask, and what is said here.

        `study`, `mask`: what this is the result of; `name`: of the study, to be shown. Raises OutputError, and what a
        mask raises that isn't the scan's (`Classifier`)."""
        scan = volume_of(study)
        labels, _ = labels_on(scan, mask, self.scheme)
        file = Path(mask) if isinstance(mask, str | Path) else None
        about_mask = read_json(json_beside(file)) if file and is_own(file) else None
        write_text(Path(path), page(scan, labels, self.to_json(), about_mask, self.evidence, name))

    def to_json(self) -> dict[str, Any]:
        """The content of result.json. `probabilities`: what the competition's score rewards; `calibrated`: how likely
        each fracture is, for people (None without a fitted calibration); `evidence_peaks`: where each level's evidence
        is largest; `local_calibration`: which local map the calibrated ones have been through, and what they were
        before it."""
        given = self.prediction
        return {
            "study": given.uid or None,
            "probabilities": _by_target(given.probabilities),
            "calibrated": None if given.calibrated is None else _by_target(given.calibrated),
            "flags": given.flags,
            "not_judged": list(self.not_judged),
            "operating_point": self.operating_point,
            "evidence_peaks": {
                level: {"value": round(peak.value, 4), "ras_mm": [round(float(x), 2) for x in peak.place]}
                for level, peak in self.peaks.items()
            },
            "notices": list(self.notices),
            "mask_scheme": self.scheme,
            "precision": self.precision,
            "version": __version__,
            "weights": list(self.weights),
            "decision": self.decision,
            "local_calibration": self._local(),
            "caveats": list(self.caveats),
            "notice": " ".join((NOT_MEDICAL, *self.caveats)),
        }

    def _local(self) -> dict[str, Any] | None:
        before = self.prediction.before_local_map
        if self.local_map is None or before is None:
            return None
        said = self.local_map.to_json()
        kept = {name: said[name] for name in ("map", "fitted_on", "forced", "made")}
        return {**kept, "digest": self.local_map.digest, "calibrated_before": _by_target(before)}


def _by_target(values: np.ndarray) -> dict[str, float]:
    return {target: round(float(value), 6) for target, value in zip(TARGETS, values)}


def _bars(panel: Any, table: "pd.DataFrame") -> None:
    names = [name.replace(OVERALL, "any") for name in table["level"]]
    panel.barh(names, table["probability"], color="0.4", label="prediction")
    if table["calibrated"].notna().all():
        panel.plot(table["calibrated"], names, "o", color="tab:red", label="calibrated")
        panel.legend(fontsize=7)
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xlabel("probability of a fracture")


def _slice(panel: Any, row: int, pictures: np.ndarray | None, probability: float) -> None:
    """The middle sagittal slice of a level, drawn from above, anterior on the left."""
    picture = np.zeros((1, 1, 1)) if pictures is None else pictures[row]
    seen = picture.any()
    panel.set_title(f"{LEVELS[row]}  {probability:.2f}" if seen else f"{LEVELS[row]}  not in view", fontsize=8)
    if seen:
        middle = picture[len(picture) // 2]  # (anterior, superior)
        panel.imshow(middle.T[::-1, ::-1], cmap="gray", vmin=0, vmax=255)
