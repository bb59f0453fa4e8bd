"""Work shared among threads of a process, and among processes that may die, of this machine or of a cluster; one
study's failure stays its own.

In: a function and its jobs by study.
Out: results as they are done, or `Failed` with the reason.
Start reading: pool.py.
"""
