"""Results in the formats that a PACS and viewers know: DICOM SEG, SR and RTSTRUCT, 3D Slicer's .seg.nrrd.

In: a mask, a result as plain data, and the DICOM study that they are about; no stage is known here.
Out: objects that refer to the study's own frames.
Start reading: outputs.py.
"""

from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    from common.writing.outputs import Asked, check_outputs, write_outputs

__all__ = ["Asked", "check_outputs", "write_outputs"]
__getattr__ = lazy(__name__, dict.fromkeys(__all__, "common.writing.outputs"))
