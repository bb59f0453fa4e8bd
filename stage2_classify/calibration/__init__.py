"""From logits to the answer for the score, and to calibrated probabilities.

In: logits of studies, labels of those that are fitted on.
Out: a fitted calibration (fit.py), which answers (calibration.py); the command is calibrate.py.
Start reading: calibration.py, then fit.py.
"""
