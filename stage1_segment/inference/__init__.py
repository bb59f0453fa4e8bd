"""From a CT to its mask: two passes, postprocessing, checks, files.

In: a `Volume` in HU.
Out: a `Segmentation` on the same grid.
Start reading: segmenter.py.
"""
