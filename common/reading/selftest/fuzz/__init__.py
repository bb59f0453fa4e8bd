"""Damaged studies thrown at the reader: a volume or a typed error, nothing else.

In: a seed and a number of cases.
Out: exit code 1 when one is handled wrongly.
Start reading: __main__.py.
"""
