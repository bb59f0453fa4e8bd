"""Masks of vertebrae, whoever made them, brought onto their scan and checked against it.

In: a mask file or a folder with one file per vertebra, its label scheme, the scan.
Out: values of common.labels on the scan's grid, notices.
Start reading: segmentation.py.
"""
