"""Results in the formats that a PACS and viewers know: DICOM SEG, SR and RTSTRUCT, 3D Slicer's .seg.nrrd.

In: a mask, a result as plain data, and the DICOM study that they are about; no stage is known here.
Out: objects that refer to the study's own frames.
Start reading: outputs.py.
"""

from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    from common.writing.asked import Asked, check_outputs
    from common.writing.outputs import write_outputs

__all__ = ["Asked", "check_outputs", "write_outputs"]
_ASKED = "common.writing.asked"
__getattr__ = lazy(__name__, {"Asked": _ASKED, "check_outputs": _ASKED, "write_outputs": "common.writing.outputs"})
