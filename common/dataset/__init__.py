"""The competition's folder: its tables, scans and boxes, checked and cached.

In: a folder as the challenge lays it out.
Out: labels, folds, boxes, cached scans as `Volume`.
Start reading: competition.py.
"""
