"""Figures over commits: reading what asv keeps, finding steps in it, and gating a commit by measuring it anew.

Read `series.py` and `sections.py` (history), then `gate.py`: `ab.py` measures two commits, with
`checkout_worker.py` in a process of each, and `regressions.py` says what got worse.
"""
