"""The machine code of the k-loops, where the time goes: multiply-adds on whole registers, nothing on the stack, one
compare. Compiled anew in a process of its own (see tools/show_loops.py); another CPU's is looked at and not run."""

import importlib.util
import json
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rnnbench.kernels.target import Target, target

TOOL = Path(__file__).resolve().parent.parent / "tools" / "show_loops.py"
X86 = platform.machine() in ("x86_64", "AMD64")
# What is known of other CPUs: the x86 levels 3 and 4 that `target` tells apart.
ELSEWHERE = {"haswell": Target("haswell", 32, 16), "skylake-avx512": Target("skylake-avx512", 64, 32)}
HERE = "this CPU"
# Sums side by side in a pass of the tile: as many as one operand feeds.
COLUMNS = {("lstm", "forward"): 4, ("gru", "forward"): 3, ("lstm", "backward"): 2}
IN_FLIGHT = 8  # multiply-adds that a loop needs to keep the units busy: below, the sum over k is split
MOST_ROWS = 8  # with a pointer each, and those of the weights, of k and of its end, 12 rows would fill x86's registers
REGISTER = {64: r"%zmm\d+|\bz\d+", 32: r"%ymm\d+", 16: r"%xmm\d+|\bv\d+\.(4s|2d)"}


def show_loops():
    spec = importlib.util.spec_from_file_location("show_loops", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["show_loops"] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


tool = show_loops()


def loops_of(cell, kernel, cpu):
    asked = [] if cpu == HERE else ["--cpu", cpu]
    command = [sys.executable, str(TOOL), cell, kernel, "--json", *asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return [tool.Loop(**loop) for loop in json.loads(done.stdout)]


def expected(cpu, columns):
    """Multiply-adds of each k-loop: one tile for each number of rows from what fills three quarters of the registers
    down by halves, and from four on one by one; a loop over several k at once, to keep the units busy or to spare
    instructions, and one for the rest. Where many rows share three weights and more, a second k has no room."""
    rows, counts = min(MOST_ROWS, cpu.registers * 3 // 4 // columns), set()
    while True:
        sums = rows * columns
        counts |= {sums, sums * (-(-IN_FLIGHT // sums) if sums < IN_FLIGHT else 1 if rows > columns > 2 else 2)}
        if rows == 1:
            return counts
        rows = -(-rows // 2) if rows > 4 else rows - 1


def made_for(cpu):
    return target() if cpu == HERE else ELSEWHERE[cpu]


def case(cell, kernel, cpu):
    marks = [] if cpu == HERE else [pytest.mark.slow]
    return pytest.param(cell, kernel, cpu, marks=marks, id=f"{cell} {kernel} on {cpu}")


CASES = [case(cell, kernel, cpu) for cpu in (HERE, *ELSEWHERE) for cell, kernel in COLUMNS]


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "kernel", "cpu"), CASES)
def test_a_k_loop_is_multiply_adds_on_whole_registers(cell, kernel, cpu):
    if cpu != HERE and not X86:
        pytest.skip(f"{cpu} is an x86 CPU")
    width = made_for(cpu).vector_bytes
    if X86 and width == 16:
        pytest.skip("this CPU has no fused multiply-add")
    loops = loops_of(cell, kernel, cpu)
    assert {len(loop.fused) for loop in loops} == expected(made_for(cpu), COLUMNS[cell, kernel])
    for loop in loops:
        code = "\n".join(loop.instructions)
        assert all(len(re.findall(REGISTER[width], line)) >= 2 for line in loop.fused), code
        assert loop.stack == [], code
        assert len(loop.compares) == 1, code


@pytest.mark.skipif(not X86, reason="the loop is written for x86")
def test_the_tool_sees_what_must_not_be_there():
    """A loop with one fault of each kind, and a neighbour that multiplies nothing by one number in all lanes."""
    text = """
    movq %rsp, %rbp
.LBB0_1:
    vmovups 32(%rsp), %ymm3          # a sum that had no register left
    vbroadcastss (%rax,%rcx,4), %ymm1
    vfmadd231ps (%rbx), %ymm1, %ymm3
    vfmadd231ps 32(%rbx), %ymm1, %ymm4
    vmovups %ymm3, -64(%rbp)
    cmpq %rdx, %rcx
    cmovlq %rsi, %rcx
    cmpq %r8, %rcx
    jl .LBB0_1
.LBB0_2:
    vfmadd231ps (%rbx), %ymm1, %ymm3
    cmpq %r8, %rcx
    jl .LBB0_2
    """
    (loop,) = tool.k_loops(text)
    assert Counter(line.split()[0] for line in loop.stack) == {"vmovups": 2}
    assert [line.split()[0] for line in loop.compares] == ["cmpq", "cmovlq", "cmpq"]
    assert len(loop.fused) == 2
