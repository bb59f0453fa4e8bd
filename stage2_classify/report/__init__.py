"""The page about a run.

In: its answers, figures and pictures.
Out: report.html.
Start reading: page.py.
"""
