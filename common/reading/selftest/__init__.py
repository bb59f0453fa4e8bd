"""The reader held against broken series and other readers.

In: series made for it, damaged in known ways.
Out: a table of what each reader made of them.
Start reading: compare.py.
"""
