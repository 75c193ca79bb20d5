"""The command line, one file per command; the only place that prints.

Modules with a leading underscore are what commands share. `main` is all that this package itself may hold: a command
module named `list` becomes its attribute and would hide the built-in.
"""

from rnnbench.cli._group import main

__all__ = ["main"]
