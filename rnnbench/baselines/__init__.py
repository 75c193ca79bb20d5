"""Methods without recurrence, which a cell has to beat: one file each, found by folder.

Read `spec.py`, what a baseline is; `sequences.py` and `series.py`, what they see; then any baseline.
"""
