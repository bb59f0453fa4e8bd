"""Stage 2: which of the seven cervical vertebrae are fractured; it reads masks, whoever made them.

In: CT studies and their masks.
Out: eight probabilities a study, submission.csv, result.json, report.html.
Start reading: __main__.py, run_folder.py.
"""
