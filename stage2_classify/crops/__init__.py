"""Vertebrae cut out along their own axes.

In: a CT, its mask, the fracture boxes.
Out: `Crops`, and their files.
Start reading: cut.py.
"""
