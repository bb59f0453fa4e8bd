"""Results in the formats that a PACS and viewers know: DICOM SEG, SR and RTSTRUCT, 3D Slicer's .seg.nrrd.

In: a mask, a result as plain data, and the DICOM study that they are about; no stage is known here.
Out: objects that refer to the study's own frames.
Start reading: outputs.py.
"""
