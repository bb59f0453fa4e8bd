"""A whole prediction held against what anatomy allows.

In: a CT and its mask.
Out: notices, or WrongOrientation.
Start reading: orientation.py.
"""
