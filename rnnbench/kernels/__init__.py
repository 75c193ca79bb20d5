"""The only place that imports Numba: a vector type, gate functions, a register tile, and one scan for all cells."""
