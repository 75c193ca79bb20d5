"""Backends: who computes a model. `base.py` is the contract."""
