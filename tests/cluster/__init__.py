"""A tiny run on a real Dask cluster that is damaged on the way, compared with the same run in one process.

In: nothing; it makes its own cohort.
Out: a log of what was done to the cluster, and whether every output is the same bit for bit.
Start reading: __main__.py.
"""
