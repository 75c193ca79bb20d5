"""People's tables, read into series with their times, gaps and covariates looked at.

Read `series.py`, what comes out; `options.py`, what may be asked; `reading.py`, a table of columns, over `opening.py`
(bytes), `dialect.py` (encoding, separator), `numbers.py` (1.234,5) and `typed.py` (frames, Parquet, Excel), with errors
at a `place.py`; then `panel.py`, from a table to series, over `roles.py` (which column is what), `times.py`, `rows.py`
(their order), `steps.py` (the frequency), `grid.py` and `filling.py` (gaps), and `covariates.py`.
"""
