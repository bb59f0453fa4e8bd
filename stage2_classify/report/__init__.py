"""The page about a run.

In: its predictions, figures and pictures.
Out: report.html.
Start reading: page.py.
"""
