"""Files that are whole or absent, each with its provenance; one run per folder; notices.

In: what a command makes, and what it made it from.
Out: files with records, by which a rerun skips what is still true.
Start reading: store.py.
"""
