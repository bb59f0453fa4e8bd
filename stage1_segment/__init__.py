"""Stage 1: finds C1..C7 in a CT of the neck and outlines them.

In: CT studies; for training, segmentations or label maps.
Out: a mask per study on its own grid, its levels as JSON, a picture.
Start reading: __main__.py, run_folder.py.
"""
