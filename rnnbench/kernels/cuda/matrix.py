"""Launches of the large products and sums, on matrices that lie anywhere in flat device memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.kernels.cuda import library
from rnnbench.kernels.cuda.large import WRITE
from rnnbench.kernels.cuda.memory import Memory

ROWS_OF_A_SUM = 64  # the least that is worth a block of its own


@dataclass(frozen=True)
class Matrix:
    """A matrix in a flat array: element (i, k) at `at + i * row + k * deep`."""

    memory: Any
    at: int
    row: int
    deep: int


class Products:
    """For one dtype; the memory for parts of sums is shared by all that use it."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._memory = Memory(np.dtype(dtype))

    def multiply(
        self, a: Matrix, b: Matrix, out: Matrix, M: int, N: int, K: int, mode: int = WRITE, bias: Matrix | None = None
    ) -> None:
        """out[m, n] = Σ_k a[m, k] · b[n, k], as `large.py` has it."""
        tile, kernel = library.large_tile(), library.large(self.dtype, a.deep == 1, b.deep == 1)
        across, down = tile.grid(M, N)
        parts = tile.parts(M, N, K) if mode == WRITE and out.row == N else 1
        place, target = out, out.memory
        if parts > 1:
            target = self._memory.need("parts", parts * M * N)
            place = Matrix(target, 0, N, 1)
        added = bias or Matrix(b.memory, 0, 0, 0)
        kernel.launch(
            (across * parts, down), a.memory, b.memory, added.memory, target, a.at, a.row, a.deep, b.at, b.row, b.deep,
            added.at, place.at, place.row, M * N, M, N, K, parts, mode,
        )  # fmt: skip
        if parts > 1:
            self._fold(target, out.memory, out.at, M * N, parts)

    def sum_rows(self, source: Any, rows: int, columns: int, out: Any, out_at: int) -> None:
        """out[out_at + n] = Σ over rows of source [rows, columns]."""
        kernel = library.sum_rows(self.dtype)
        parts = max(1, min(library.large_tile().blocks, rows // ROWS_OF_A_SUM))
        sums = self._memory.need("parts", parts * columns)
        kernel.launch((-(-columns // kernel.threads), parts), source, sums, rows, columns, parts)
        self._fold(sums, out, out_at, columns, parts)

    def _fold(self, source: Any, out: Any, out_at: int, size: int, parts: int) -> None:
        kernel = library.fold(self.dtype)
        kernel.launch((-(-size // kernel.threads), 1), source, out, out_at, size, parts)
