"""Sequence tasks: one file each, found by folder.

Read `spec.py`, what a task is; `generated.py` and `cut.py`, where data come from; `scores.py` and `forecast_scores.py`;
then any task, `own_table.py` last.
"""
