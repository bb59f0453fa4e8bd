"""The installed command, `cervical-fracture`: it finds commands by entry points, so that it names no stage.

In: words of a command line; what packages register in their pyproject.toml.
Out: what the commands do, and their exit codes.
Start reading: __main__.py.
"""
