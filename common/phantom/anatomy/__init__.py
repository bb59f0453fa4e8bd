"""Bones of a neck as signed distances, and how they stand.

In: a subject's random numbers.
Out: posed bones: points in mm -> distance to each.
Start reading: column.py.
"""
