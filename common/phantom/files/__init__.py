"""How the competition writes a study: DICOM, segmentation, boxes, tables.

In: HU, labels and fracture crossings on the scanner's grid.
Out: files.
Start reading: dicom.py.
"""
