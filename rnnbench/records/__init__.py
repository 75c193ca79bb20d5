"""Records: what was measured, how it is kept, and what may be said of it. Knows nothing of measuring.

Read `fields.py` (what a value may be), `record.py` (a row), `store.py` over `sealed.py` (runs on disk), `figures.py`
(what each figure is), `statistics.py` and `forecast_tests.py`; `summary.py` and `comparisons.py` put rows together.
"""
