"""What stage 1 registers for the installed command (pyproject.toml): its step for one study, and what it has."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.cli.info import weights_entry
from common.labels import CLASS_NAMES
from stage1_segment.__main__ import main
from stage1_segment.pretrained import PRETRAINED

if TYPE_CHECKING:
    from common.cli.request import Request
    from common.doctor.likeness import StageView

SOURCES = (
    "BodyParts3D, (c) The Database Center for Life Science, CC Attribution-Share Alike 2.1 Japan",
    "ArtiSynth's cervical spine, University of British Columbia, BSD-style",
)
IMPORTED_FIRST = ("stage1_segment.inference.segmenter", "stage1_segment.inference.mask_report")
IMPORTED_FOR = {"preview.png": ("stage1_segment.inference.preview",)}
"""For both see `common.cli.registry.STEPS`."""


def answer_study(request: "Request") -> int:
    """mask.nii.gz, mask.json and preview.png: by the pretrained weights unless a run or configuration is named; without
    any network where the mask is corrected by hand."""
    if request.correction is not None:
        from stage1_segment.inference.correct import correct_study

        preview = request.out / "preview.png" if request.wants("preview.png") else None
        correct_study(
            request.study, request.out / "mask.nii.gz", request.correction, preview, request.series_uid,
            request.overwrite, request.read,
        )  # fmt: skip
        return 0
    weights = request.configured if request.named else ["--weights", str(PRETRAINED)]
    mask, picture = (str(request.out / name) for name in ("mask.nii.gz", "preview.png"))
    files = ["-i", str(request.study), "-o", mask, *(["--preview", picture] if request.wants("preview.png") else [])]
    return main(["predict", *files, *request.common, *weights, *request.words.get("segment", ())], request.read)


def examine_study(request: "Request", facts: Mapping[str, Any], quick: bool) -> "StageView":
    """What is to be expected of a study; without `quick` it is segmented, and the mask is in the request's folder."""
    from stage1_segment.inference.expectation import expectation

    weights = request.run_folder if request.named else None
    return expectation(request.out, facts, weights, None if quick else lambda: answer_study(request))


def about() -> dict[str, Any]:
    """Classes by mask value, and the weights that come along; see `weights_entry`."""
    pretrained = weights_entry(PRETRAINED, "real scans (Segmenter.pretrained), and to begin a training with", SOURCES)
    return {"classes": list(CLASS_NAMES), "weights": [pretrained]}
