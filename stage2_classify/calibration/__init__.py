"""From logits to the numbers that are answered, and to calibrated probabilities.

In: logits of studies, labels of those that are fitted on.
Out: probabilities for the score, and calibrated ones.
Start reading: decide.py.
"""
