"""How good the answers are, and where the networks look.

In: answers, labels, boxes.
Out: figures as JSON, curves.
Start reading: metrics.py.
"""
