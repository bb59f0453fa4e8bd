"""One way to open a CT study, whatever it lies in.

In: a DICOM folder, a zip of one, NIfTI, NRRD or MetaImage.
Out: HU with an affine, and notices of what was repaired.
Start reading: study.py.
"""
