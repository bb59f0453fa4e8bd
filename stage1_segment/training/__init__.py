"""Patches of scans, varied, and what the network learns from them.

In: segmented studies, or label maps.
Out: weights.
Start reading: task.py.
"""
