"""What stage 2 registers for the installed command (pyproject.toml): its step for one study, and what it has."""

import sys
from typing import TYPE_CHECKING, Any

from common.cli.info import weights_entry
from common.labels import TARGETS
from stage2_classify.__main__ import main
from stage2_classify.pretrained.encoder import PRETRAINED_PHANTOM

if TYPE_CHECKING:
    from common.cli.predict import Request


def answer_study(request: "Request") -> int:
    """result.json from mask.nii.gz, by the run's networks; without any, that is said and nothing is written.
    Nor is it where no output with probabilities is wanted."""
    run, out = request.run_folder, request.out
    if not request.wants("result.json", "result.html", "report.dcm"):
        return 0
    if not any(run.glob("stage2/fold*/weights.safetensors")):
        print(
            f"{run} has no trained stage 2, so there is no {out / 'result.json'}; train one (make submission), or name "
            "another (--run; of make RUN)",
            file=sys.stderr,
        )
        return 0
    files = ["-i", str(request.study), "--mask", str(out / "mask.nii.gz"), "-o", str(out / "result.json")]
    told = request.words.get("classify", ())
    return main(["predict", *files, *request.common, *request.configured, *told], request.read)


def about() -> dict[str, Any]:
    """The eight targets in order, and the weights that come along; see `weights_entry`."""
    return {
        "classes": list(TARGETS),
        "weights": [weights_entry(PRETRAINED_PHANTOM, "what an encoder's training begins with")],
    }
