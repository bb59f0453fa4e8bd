"""A study's scene on the scanner's grid, laid on in layers.

In: posed bones and the body around them.
Out: HU, labels, crossings: a `Canvas`.
Start reading: canvas.py.
"""
