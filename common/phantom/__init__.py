"""Synthetic CT studies of the neck in the competition's layout, with the truth known.

In: a seed and how many studies.
Out: a folder as the competition's.
Start reading: study.py.
"""
