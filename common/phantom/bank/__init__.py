"""Label maps of many necks, on which stage 1 can be trained without a scan, and healthy scans for stage 2.

In: meshes of two atlases, or the drawn anatomy; a seed.
Out: NIfTI files of tissue codes; scans in fine voxels with masks (healthy_scans.py).
Start reading: __main__.py.
"""
