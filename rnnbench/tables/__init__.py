"""People's tables, read into series with their times, gaps and covariates looked at.

Read `series.py`, what comes out; `options.py`, what may be asked; `reading.py`, files; then `times.py`.
"""
