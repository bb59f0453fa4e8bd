"""Anatomy from surface meshes: read, posed, reshaped and voxelised.

In: meshes of an atlas in mm.
Out: label maps of tissues.
Start reading: subject.py.
"""
