"""The same cells as `numba.cuda` kernels: a scan in each direction of time, and the large products around it."""
