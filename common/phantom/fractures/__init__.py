"""Broken vertebrae: which, of what kind, and what looks like one and isn't.

In: posed bones, a plan of fractures.
Out: changed distances, and where fractures cross.
Start reading: breaking.py.
"""
