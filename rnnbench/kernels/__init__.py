"""The only place that imports Numba: a vector type, gate functions, a register tile, and one scan for all cells.

Read `vector.py`, `pointers.py` and `gates.py`, then `tile.py`, `layout.py` and `scan.py`; `backward.py`, `products.py`
and the small kernels follow; `records.py`, `args.py` and `program.py` are how they are called, `compiled.py` and
`cache.py` how they are made. docs/kernels.md explains it all.
"""
