"""Sequence tasks: one file each, found by folder.

Read `spec.py`, what a task is; `generated.py` and `forecast.py`, where data come from; `scores.py`; then any task.
"""
