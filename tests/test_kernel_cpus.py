"""The numerical tests of the kernels again, compiled for other CPUs than this one: other vectors, other tiles.

Code is made for the CPU that NUMBA_CPU_NAME names, so a machine can run that of its elders. `generic` is what every x86
or ARM of 64 bits has: vectors of 16 bytes, and on x86 no fused multiply-add.
"""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

HERE = Path(__file__).resolve().parent
HAS_AVX2 = {"avx2", "fma"} <= {name for name, has in llvm.get_host_cpu_features().items() if has}
HASWELL = pytest.mark.skipif(not HAS_AVX2, reason="needs AVX2 and FMA")


def run_tests(cpu, *arguments):
    """pytest in a process whose kernels are made for `cpu`. That none was found is a failure too."""
    env = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=HERE.parent, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", pytest.param("haswell", marks=HASWELL)])
def test_kernels_and_gate_functions_agree_with_the_reference(cpu):
    run_tests(cpu, str(HERE / "test_numba.py"), str(HERE / "test_gates.py"))
