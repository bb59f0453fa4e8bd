"""What a person asks of one study, as every step is told it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from common.corrections.correction import Correction
from common.page.from_folder import NAME as PAGE
from common.writing.asked import ON_REQUEST, USUAL

if TYPE_CHECKING:
    from common.reading.study import Study

CONFIG = Path("phantom")
ALWAYS = ("mask.nii.gz", "mask.json")
"""The steps meet in them."""
OUTPUTS = (*ALWAYS, "preview.png", "result.json", "evidence.nii.gz", PAGE, *USUAL, *ON_REQUEST)


def _read(path: Path, series_uid: str | None = None) -> "Study":
    from common.reading.study import read_study

    return read_study(path, series_uid)


@dataclass(frozen=True)
class Request:
    """`study`: DICOM folder, zip or NIfTI. `out`: the folder for the results. `config`, `run`: those that were
    named, else None. `device`: auto, cpu, cuda or cuda:N; None: as the settings say. `outputs`: those of `OUTPUTS` that
    were named; None: all that the study allows but those on request. `labelmap`, `anonymous`: of DICOM objects.
    `correction`: what a person says of the mask, instead of making one. `calibration`: a local map for the
    probabilities (docs/local_calibration.md). `words`: by a step's name, what it alone is
    told. `read`: `read_study` for all steps together, so that the study is
    read once; none may change it."""

    study: Path
    out: Path
    config: Path | None = None
    run: Path | None = None
    series_uid: str | None = None
    device: str | None = None
    overwrite: bool = False
    outputs: tuple[str, ...] | None = None
    labelmap: bool = False
    anonymous: bool = False
    correction: Correction | None = None
    calibration: Path | None = None
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    read: Callable[[Path, str | None], "Study"] = _read

    def wants(self, *names: str) -> bool:
        """Whether one of the outputs `names` is asked for."""
        return self.outputs is None or any(name in self.outputs for name in names)

    @property
    def run_folder(self) -> Path:
        """The run's folder: the one that was named, or that of the configuration."""
        return self.run or Path("runs") / (self.config or CONFIG).stem

    @property
    def named(self) -> bool:
        """Whether a run or a configuration was named, and with it networks other than the pretrained ones."""
        return self.run is not None or self.config is not None

    @property
    def configured(self) -> list[str]:
        """Words that name the configuration and the run."""
        return ["--config", str(self.config or CONFIG), f"data.run={self.run_folder}"]

    @property
    def common(self) -> list[str]:
        """Words that mean the same to every step."""
        series = ["--series-uid", self.series_uid] if self.series_uid else []
        device = ["--device", self.device] if self.device else []
        return [*device, *series, *(["--overwrite"] if self.overwrite else [])]


def read_once(
    before: Callable[[], object] = lambda: None, after: Callable[[], object] = lambda: None
) -> Callable[[Path, str | None], "Study"]:
    """`read_study` that keeps the last study, for steps that all ask for it; `before` and `after` are called before and
    after it is read."""

    @lru_cache(maxsize=1)
    def read(path: Path, series_uid: str | None = None) -> "Study":
        before()
        study = _read(path, series_uid)
        after()
        return study

    return read
