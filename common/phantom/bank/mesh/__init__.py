"""Anatomy from surface meshes: read, posed, reshaped, voxelised, and painted in fine voxels.

In: meshes of an atlas in mm.
Out: label maps of tissues (subject.py); scans with labels (fine_neck.py).
Start reading: subject.py.
"""
