"""GPUs that plans are laid for and kernels compiled for, where there is none: from NVIDIA's tuning guides."""

from rnnbench.kernels.cuda.plan import RESERVED_BYTES, Device

H200 = Device("NVIDIA H200", multiprocessors=132, shared_bytes=227 * 1024 - RESERVED_BYTES)
A100 = Device("NVIDIA A100", multiprocessors=108, shared_bytes=163 * 1024 - RESERVED_BYTES)
