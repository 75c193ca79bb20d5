"""Device memory by name, kept from call to call."""

from rnnbench.kernels.cuda.target import refill, zeros
from rnnbench.kernels.cuda.types import DeviceArray, DType
from rnnbench.model import Array


class DeviceMemory:
    """Flat arrays of one dtype. They grow and never shrink; what is in a new one is zero, and stale in an old one."""

    def __init__(self, dtype: DType) -> None:
        self._dtype = dtype
        self._buffers: dict[str, DeviceArray] = {}

    def __getitem__(self, name: str) -> DeviceArray:
        return self._buffers[name]

    def buffer(self, name: str, size: int) -> DeviceArray:
        """Return the array of that name, of at least `size` elements."""
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers.pop(name, None)  # freed before its successor is taken
            self._buffers[name] = zeros(size, self._dtype)
        return self._buffers[name]

    def fill(self, name: str, values: Array) -> DeviceArray:
        """Return the same, its first elements being `values`."""
        buffer = self.buffer(name, values.size)
        refill(buffer, values)
        return buffer
