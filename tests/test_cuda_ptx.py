"""Compilation of the CUDA kernels to PTX for two GPUs, and ptxas's report on it: needs numba-cuda, but no GPU.

It finds what the simulator cannot: wrong types (a literal that widens float32), intrinsics that are not there, arrays
that went to local memory instead of registers. Compiling takes seconds a kernel: all but two are marked slow.
"""

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gpu_devices import A100, H200

from rnnbench.kernels.cuda.choose import MOST_PAIRS, ScanPlanner
from rnnbench.kernels.cuda.layout import CudaLayout
from rnnbench.kernels.cuda.plan import RESERVED_BYTES, Device, ScanPlan, scan_phases
from rnnbench.kernels.cuda.provider import PROVIDER
from rnnbench.registry import registry

pytestmark = pytest.mark.skipif(
    PROVIDER != "numba-cuda" or find_spec("numba_cuda") is None,
    reason="numba-cuda, which compiles to PTX, is not installed: pip install 'rnnbench[cuda12]'",
)
TARGETS = {(8, 0): A100, (9, 0): H200}
REGISTERS = 65536  # of a multiprocessor
HIDDEN = {"float32": 512, "float64": 256}  # sizes at which R stays on chip
BATCH = 32
# Hidden units and rows that take each way over the GPU: one block of units, several, R streamed, a launch a step.
SIZES = [
    *(("float32", *size) for size in [(64, 1), (64, 256), (512, 1), (512, 128), (1024, 128), (2048, 1), (2048, 256)]),
    *(("float64", *size) for size in [(64, 256), (512, 1), (512, 128), (1024, 64), (2048, 256)]),
]
SLOW = pytest.mark.slow
# Both dtypes and both GPUs, each once: the two have nothing to do with each other, and a kernel takes seconds.
BUILDS = pytest.mark.parametrize(
    ("dtype", "target"), [("float32", (9, 0)), ("float64", (8, 0))], ids=["float32-sm_90", "float64-sm_80"]
)
# A barrier of blocks, between two of the block's own threads: one thread makes what they wrote visible, counts itself
# in, looks until all are there, and drops what was cached; no load or store of data comes in between.
BARRIER = re.compile(
    r"bar\.sync\s+0;(?:(?!bar\.sync|membar).)*membar\.gl;NO_DATAatom\.global\.add\.u64[^;]*, 1;NO_DATA"
    r"atom\.global\.add\.u64[^;]*, 0;NO_DATAmembar\.gl;NO_DATAbar\.sync\s+0;".replace(
        "NO_DATA", r"(?:(?!bar\.sync|membar|ld\.global|st\.global).)*"
    ),
    re.DOTALL,
)


@dataclass(frozen=True)
class Compiled:
    """PTX, and what ptxas says of it."""

    ptx: str
    report: str

    @property
    def registers(self) -> int:
        found = re.search(r"Used (\d+) registers", self.report)
        assert found is not None, self.report
        return int(found[1])

    @property
    def local_bytes(self) -> list[int]:
        """Return those of stack frame, spill stores and spill loads."""
        found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", self.report)
        assert found is not None, self.report
        return [int(group) for group in found.groups()]


Compile = Callable[[Any, tuple[Any, ...], int, tuple[int, int]], Compiled]


def of_the_wheels(pattern: str) -> str | None:
    """Return a file of NVIDIA's packages."""
    nvidia = find_spec("nvidia")
    for folder in nvidia.submodule_search_locations or () if nvidia else ():
        for found in sorted(Path(folder).glob(pattern)):
            return str(found)
    return None


def ptxas() -> str:
    """Return NVIDIA's assembler: of the wheel, else on PATH."""
    found = of_the_wheels("*/bin/ptxas") or shutil.which("ptxas")
    assert found is not None, "numba-cuda's extras bring it"
    return found


@pytest.fixture
def compile_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Compile:
    from numba import cuda

    def compiled(function: Any, types: tuple[Any, ...], threads: int, target: tuple[int, int]) -> Compiled:
        # A device function is compiled for the GPU in use: here, for one that is not there.
        stand_in = SimpleNamespace(compute_capability=target)
        monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: stand_in)
        ptx, _ = cuda.compile_ptx(function, types, cc=target, launch_bounds=threads)
        (tmp_path / "kernel.ptx").write_text(ptx)
        command = [ptxas(), "-c", "-v", f"-arch=sm_{target[0]}{target[1]}", "-o", "kernel.o", "kernel.ptx"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return Compiled(ptx, done.stderr)

    return compiled


def planned(cell: str, dtype: str, backward: bool, device: Device, hidden: int, batch: int) -> ScanPlan:
    phases = scan_phases(CudaLayout(registry().cell(cell)), backward)
    return ScanPlanner(phases, hidden, batch, np.dtype(dtype).itemsize, device).best()


def scan_of(
    plan: ScanPlan, cell: str, dtype: str, backward: bool, only: int | None = None
) -> tuple[Any, tuple[Any, ...]]:
    from rnnbench.kernels.cuda.backward import make_backward
    from rnnbench.kernels.cuda.compiled import BACKWARD, FORWARD
    from rnnbench.kernels.cuda.scan import make_forward
    from rnnbench.kernels.cuda.target import signature

    kind = np.dtype(dtype)
    make, kinds = (make_backward, BACKWARD) if backward else (make_forward, FORWARD)
    return make(CudaLayout(registry().cell(cell)), kind, plan, only), signature(kinds, kind)


def check(compiled: Compiled, dtype: str, threads: int, target: tuple[int, int]) -> None:
    assert f".target sm_{target[0]}{target[1]}" in compiled.ptx
    assert ".local" not in compiled.ptx, "every array is in registers"
    assert "ld.global.nc" not in compiled.ptx, "what other blocks write must not be read through a cache of constants"
    if dtype == "float32":
        wide = re.findall(r"^\s*\S*\.f64\b.*$", compiled.ptx, re.MULTILINE)
        assert wide == [], "nothing is computed in float64"
    assert compiled.local_bytes == [0, 0, 0]
    assert compiled.registers * threads <= REGISTERS


def check_scan(compile_kernel: Compile, cell: str, dtype: str, backward: bool, target: tuple[int, int]) -> None:
    plan = planned(cell, dtype, backward, TARGETS[target], HIDDEN[dtype], BATCH)
    assert plan.resident
    assert plan.looped
    compiled = compile_kernel(*scan_of(plan, cell, dtype, backward), plan.threads, target)
    check(compiled, dtype, plan.threads, target)
    assert ("cudaCGGetIntrinsicHandle" in compiled.ptx) == (plan.barrier_blocks > 1), "cooperative where blocks wait"
    assert ("atom" in compiled.ptx) == (plan.barrier_blocks > 1)
    assert len(BARRIER.findall(compiled.ptx)) == plan.barriers


def test_the_lstm_keeps_to_registers(compile_kernel: Compile) -> None:
    check_scan(compile_kernel, "lstm", "float32", backward=False, target=(9, 0))


def test_a_cell_of_two_stages_goes_backwards(compile_kernel: Compile) -> None:
    check_scan(compile_kernel, "gru-before", "float32", backward=True, target=(8, 0))


@SLOW
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@BUILDS
def test_every_cell(compile_kernel: Compile, cell_id: str, dtype: str, backward: bool, target: tuple[int, int]) -> None:
    check_scan(compile_kernel, cell_id, dtype, backward, target)


@SLOW
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "gru-before"])
def test_the_fullest_threads(compile_kernel: Compile, cell: str, dtype: str, backward: bool) -> None:
    """Of the plans in use, the one with the most pairs a thread."""
    sizes = itertools.product((64, 128, 256, 512, 1024), (32, 64, 128, 256))
    plans = [planned(cell, dtype, backward, H200, hidden, batch) for hidden, batch in sizes]
    plan = max((plan for plan in plans if plan.looped), key=lambda plan: plan.pairs)
    assert plan.pairs == MOST_PAIRS[np.dtype(dtype).itemsize]
    compiled = compile_kernel(*scan_of(plan, cell, dtype, backward), plan.threads, (9, 0))
    check(compiled, dtype, plan.threads, (9, 0))


@SLOW
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("dtype", "hidden", "batch"), SIZES)
def test_every_way_over_the_gpu(compile_kernel: Compile, dtype: str, hidden: int, batch: int, backward: bool) -> None:
    plan = planned("lstm", dtype, backward, H200, hidden, batch)
    only = None if plan.looped else 0
    compiled = compile_kernel(*scan_of(plan, "lstm", dtype, backward, only), plan.threads, (9, 0))
    check(compiled, dtype, plan.threads, (9, 0))


@SLOW
@BUILDS
def test_the_kernels_around_the_scan(compile_kernel: Compile, dtype: str, target: tuple[int, int]) -> None:
    from rnnbench.kernels.cuda.elementwise import KINDS, make_adam, make_squares, make_sum_rows
    from rnnbench.kernels.cuda.large import PRODUCT, LargeTile, make_large
    from rnnbench.kernels.cuda.target import signature

    kind, tile = np.dtype(dtype), LargeTile.on(H200)
    for a_contiguous, b_contiguous in ((True, True), (False, False), (True, False)):
        function = make_large(kind, tile, a_contiguous, b_contiguous)
        compiled = compile_kernel(function, signature(PRODUCT, kind), tile.threads, target)
        check(compiled, dtype, tile.threads, target)
    sum_rows = compile_kernel(make_sum_rows(kind, 256), signature(KINDS[make_sum_rows], kind), 256, target)
    check(sum_rows, dtype, 256, target)
    for make in (make_squares, make_adam):  # these take float64 from the host, or sum in it
        compiled = compile_kernel(make(kind, 256), signature(KINDS[make], kind), 256, target)
        assert ".local" not in compiled.ptx


@SLOW
def test_a_cooperative_kernel_links_with_the_device_runtime(compile_kernel: Compile) -> None:
    """As it will be before a launch; what the runtime takes of shared memory must be set aside."""
    from cuda.bindings import nvjitlink

    runtime = of_the_wheels("*/lib/libcudadevrt.a")
    assert runtime is not None
    plan = planned("gru", "float32", False, H200, 512, BATCH)
    assert plan.barrier_blocks > 1
    ptx = compile_kernel(*scan_of(plan, "gru", "float32", False), plan.threads, (9, 0)).ptx.encode()
    options = ["-arch=sm_90", "-verbose", "-Xptxas=-v"]
    linker = nvjitlink.create(len(options), options)
    nvjitlink.add_data(linker, nvjitlink.InputType.PTX, ptx, len(ptx), "scan")
    nvjitlink.add_file(linker, nvjitlink.InputType.LIBRARY, runtime)
    nvjitlink.complete(linker)
    assert nvjitlink.get_linked_cubin_size(linker) > 0
    log = bytearray(nvjitlink.get_info_log_size(linker))
    nvjitlink.get_info_log(linker, log)
    used = re.search(r"properties for '[^']*make_forward[^']*':[^']* (\d+) bytes smem.* (\d+) bytes lmem", log.decode())
    assert used is not None
    assert int(used[1]) <= RESERVED_BYTES
    assert int(used[2]) == 0
    nvjitlink.destroy(linker)
