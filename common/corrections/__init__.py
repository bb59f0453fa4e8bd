"""What a person corrects of a mask: the levels' names, or the mask itself; both versions are kept.

In: a mask, and what somebody says of it, or an edited one.
Out: the corrected mask, what was done and why, and the earlier version in a folder of its own.
Start reading: correction.py.
"""
