"""Predictions for a cohort, for one study, and as a submission.

In: crops, trained networks, the fitted calibration.
Out: test.csv, result.json, submission.csv.
Start reading: one_study.py, classifier.py.
"""
