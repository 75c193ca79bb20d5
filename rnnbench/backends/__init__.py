"""Backends: who computes a model.

Read `base.py` (the contract), `inputs.py` (what all check first), `numpy_reference.py` (the oracle), then `numba_cpu/`;
`graph_session.py` and `pools.py` are what plugins share.
"""
