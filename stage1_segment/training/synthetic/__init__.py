"""CT scans that never were, made from label maps with drawn contrast and scanner.

In: a bank's subjects and a seed.
Out: batches of scans with their labels.
Start reading: scan.py.
"""
