"""What stage 2 registers for the installed command (pyproject.toml): its step for one study, and what it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.cli.info import weights_entry
from common.labels import TARGETS
from common.training.task import WEIGHTS
from stage2_classify.__main__ import main
from stage2_classify.pretrained.encoder import PRETRAINED, PRETRAINED_PHANTOM, own_or_pretrained, pretrained

if TYPE_CHECKING:
    from common.cli.request import Request
    from common.doctor.likeness import StageView

EVIDENCE = "evidence.nii.gz"
IMPORTED_FOR = {"result.json": ("stage2_classify.inference.one_study", "stage2_classify.predictor")}
"""See `common.cli.registry.STEPS`."""
SOURCES = ("Visible Human Project CT, female and male (U.S. National Library of Medicine; no licence asked for)",)


def answer_study(request: "Request") -> int:
    """result.json from mask.nii.gz, by the pretrained network unless a run or configuration is named that has its own;
    said aloud. Nothing where no output with probabilities is wanted."""
    out = request.out
    # A labelmap has no room for the segment "suspected fracture".
    of_evidence = (EVIDENCE, "result.html", "suspected.seg.nrrd", *(() if request.labelmap else ("segmentation.dcm",)))
    if not request.wants("result.json", "report.dcm", *of_evidence):
        return 0
    files = ["-i", str(request.study), "--mask", str(out / "mask.nii.gz"), "-o", str(out / "result.json")]
    if request.wants(*of_evidence):
        files += ["--evidence", str(out / EVIDENCE)]
    own = _weights(request)
    configured = ["--weights", str(own)] if own == PRETRAINED else request.configured
    local = [] if request.calibration is None else ["--calibration", str(request.calibration)]
    words = [*files, *request.common, *configured, *local, *request.words.get("classify", ())]
    return main(["predict", *words], request.read)


def examine_study(request: "Request", facts: Mapping[str, Any], quick: bool) -> "StageView":
    """What is to be expected of a study; which levels would be judged where there is a mask in the request's folder."""
    from stage2_classify.inference.expectation import expectation

    weights = _weights(request)
    mask = request.out / "mask.nii.gz"
    study = request.read(request.study, request.series_uid) if mask.is_file() else None
    return expectation(weights, facts, study, mask)


def _weights(request: "Request") -> Path:
    return own_or_pretrained(request.run_folder / "stage2") if request.named else pretrained()


def about() -> dict[str, Any]:
    """The eight targets in order, and the weights that come along; see `weights_entry`."""
    return {
        "classes": list(TARGETS),
        "weights": [
            weights_entry(PRETRAINED / "fold0" / WEIGHTS, "for scans of people", SOURCES),
            weights_entry(PRETRAINED_PHANTOM, "what an encoder's training begins with"),
        ],
    }
