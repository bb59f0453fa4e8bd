"""How good masks are: against true ones, marked scans, and scans without a neck.

In: masks or networks, and the truth.
Out: tables and pictures.
Start reading: overlap.py.
"""
