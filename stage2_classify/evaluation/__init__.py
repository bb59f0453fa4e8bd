"""How good the predictions are, and where the networks look.

In: predictions, labels, boxes.
Out: figures as JSON, curves.
Start reading: metrics.py.
"""
