"""A trained model to take home: fitted to a table, saved with all that its forecasts need, and asked for them.

Read `conformal.py`, how wide an interval must be; `metadata.py`, what travels; `fit.py`; then `forecaster.py`.
"""
