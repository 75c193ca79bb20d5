"""Launches of the large products and sums, on matrices that lie anywhere in flat device memory."""

import numpy as np

from rnnbench.kernels.cuda import compiled
from rnnbench.kernels.cuda.elementwise import make_sum_rows
from rnnbench.kernels.cuda.large import ADD_BIAS, WRITE, Matrix
from rnnbench.kernels.cuda.target import DeviceMemory
from rnnbench.kernels.cuda.types import DeviceArray

ROWS_OF_A_SUM = 64  # the least that is worth a block of its own


class Products:
    """For one dtype; the memory for parts of sums is common to all that use it."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._memory = DeviceMemory(np.dtype(dtype))

    def multiply(
        self, a: Matrix, b: Matrix, out: Matrix, sizes: tuple[int, int, int], mode: int = WRITE,
        bias: Matrix | None = None,
    ) -> None:  # fmt: skip
        """Launch out[m, n] = Σ_k a[m, k] · b[n, k], as `large.py` has it; sizes: M, N, K. With a bias, its mode."""
        (M, N, K), mode = sizes, mode if bias is None else ADD_BIAS
        tile, kernel = compiled.large_tile(), compiled.large(self.dtype, a.inner == 1, b.inner == 1)
        across, down = tile.grid(M, N)
        parts = tile.parts(M, N, K) if mode == WRITE and out.row == N else 1
        place = out if parts == 1 else Matrix(self._memory.buffer("parts", parts * M * N), 0, N, 1)
        # Without a bias nothing reads what stands in its place.
        kernel.launch((across * parts, down), *a, *b, *place, *(bias or b), M * N, M, N, K, parts, mode)
        if parts > 1:
            self._sum_parts(place.memory, parts, M * N, out.memory, out.at, 1)

    def sum_rows(self, source: DeviceArray, rows: int, columns: int, out: DeviceArray, out_at: int) -> None:
        """Launch out[out_at + n] = Σ over rows of source [rows, columns]."""
        parts = max(1, min(compiled.large_tile().blocks, rows // ROWS_OF_A_SUM))
        sums = self._memory.buffer("parts", parts * columns)
        self._sum_parts(source, rows, columns, sums, 0, parts)
        self._sum_parts(sums, parts, columns, out, out_at, 1)

    def _sum_parts(
        self, source: DeviceArray, rows: int, columns: int, out: DeviceArray, out_at: int, parts: int
    ) -> None:
        kernel = compiled.elementwise(self.dtype, make_sum_rows)
        kernel.launch((-(-columns // kernel.threads), parts), source, out, out_at, rows, columns, -(-rows // parts))
