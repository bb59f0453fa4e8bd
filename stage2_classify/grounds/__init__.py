"""Real bone to learn from: the vertebrae of healthy scans, seen by other scanners, half of them broken.

In: scans and masks of necks without a fracture. Out: files of crops in which it is known what is broken, and where.
Start reading at variants.py, then rescan.py; fractures.py and mimics.py draw.
"""
