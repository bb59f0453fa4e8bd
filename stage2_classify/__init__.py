"""Stage 2: which of the seven cervical vertebrae are fractured; it reads masks, whoever made them.

In: CT studies and their masks.
Out: eight probabilities a study, submission.csv, result.json, report.html.
Start reading: __main__.py, run_folder.py.

    result = Classifier.load("runs/phantom")(study, segmentation)   # result.table, result.plot(), result.to_json()
"""

from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    from stage2_classify.inference.classifier import Classifier
    from stage2_classify.inference.result import Result

__all__ = ["Classifier", "Result"]
__getattr__ = lazy(
    __name__,
    {"Classifier": "stage2_classify.inference.classifier", "Result": "stage2_classify.inference.result"},
)
