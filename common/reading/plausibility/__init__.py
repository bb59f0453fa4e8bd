"""Whether stored values can be HU, judged by where air, soft tissue and bone lie.

In: a volume's values.
Out: an exact repair, notices, or UnsupportedStudy.
Start reading: judge.py.
"""
