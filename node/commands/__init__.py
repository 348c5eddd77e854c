"""The commands behind ``cli.py``: each parses nothing but its own options, calls, and prints.

Nothing heavy is imported before a command runs, so that ``pnyx --help`` is quick.
"""
