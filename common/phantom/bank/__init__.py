"""Label maps of many necks, on which stage 1 can be trained without a scan.

In: meshes of two atlases, or the drawn anatomy; a seed.
Out: NIfTI files of tissue codes.
Start reading: __main__.py.
"""
