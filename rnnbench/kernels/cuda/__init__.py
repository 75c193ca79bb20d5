"""The same cells as `numba.cuda` kernels: a scan in each direction of time, and the large products around it.

Read `layout.py`, `plan.py`, `tile.py`, `product.py`, `scan.py`, `backward.py` and `large.py` in this order; `layer.py`
and `stack.py` launch it all. `target.py` is the one place that imports CUDA.
"""
