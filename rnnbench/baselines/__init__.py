"""Methods without recurrence, which a cell has to beat: one file each, found by folder.

Read `spec.py`, what a baseline is; then any baseline.
"""
