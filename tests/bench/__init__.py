"""How fast the project is, beside others that do the same work.

In: a folder for synthetic studies; which comparisons.
Out: a table of ratios with their spread, and of peak memory; JSON (docs/performance.md).
Start reading: __main__.py.
"""
