"""One study through all steps that are registered; they meet in the files of one folder."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cli.registry import STEPS, registered
from common.commandline import NOT_MEDICAL, add_overwrite

CONFIG = Path("phantom")


@dataclass(frozen=True)
class Request:
    """`study`: DICOM folder, zip or NIfTI. `out`: the folder for the answer. `config`, `run`: those that were named,
    else None. `device`: auto, cpu, cuda or cuda:N."""

    study: Path
    out: Path
    config: Path | None = None
    run: Path | None = None
    series_uid: str | None = None
    device: str = "auto"
    overwrite: bool = False

    @property
    def run_folder(self) -> Path:
        """The run's folder: the one that was named, or that of the configuration."""
        return self.run or Path("runs") / (self.config or CONFIG).stem

    @property
    def configured(self) -> list[str]:
        """Words that name the configuration and the run."""
        return ["--config", str(self.config or CONFIG), f"data.run={self.run_folder}"]

    @property
    def common(self) -> list[str]:
        """Words that mean the same to every step."""
        series = ["--series-uid", self.series_uid] if self.series_uid else []
        return ["--device", self.device, *series, *(["--overwrite"] if self.overwrite else [])]


def main(words: Sequence[str]) -> int:
    """Both stages on one study: a mask, and where a stage 2 is trained the probabilities of fracture."""
    parser = argparse.ArgumentParser(prog="cervical-fracture predict", description=main.__doc__, epilog=NOT_MEDICAL)
    parser.add_argument("study", type=Path, metavar="STUDY", help="DICOM folder, zip of one, or NIfTI")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), metavar="DIR", help="default: out")
    parser.add_argument("--run", type=Path, metavar="DIR", help="networks of this run instead of the pretrained ones")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the run's configuration; default: phantom")
    parser.add_argument("--series-uid", metavar="UID", help="the DICOM series to read; default: the best neck CT")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_overwrite(parser)
    return answer(Request(**vars(parser.parse_args(words))))


def answer(request: Request) -> int:
    """Does the steps one after the other; ends with the first exit code that isn't 0. Raises what a step raises."""
    for step in registered(STEPS).values():
        if code := step(request):
            return code
    return 0
