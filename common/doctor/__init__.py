"""What a study is like before anything is predicted: its facts, and whether networks have learned from its like.

In: a study of any form that is read; of each stage, what its weights learned from.
Out: a report as plain data and as a table.
Start reading: report.py.
"""
