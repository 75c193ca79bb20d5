"""Recurrent cells: one file each, found by folder.

Read `spec.py`, what a cell is; `maths.py`, what its functions may call; then any cell, `lstm.py` first.
"""
