"""What is waited for before anything runs: kernels compiled or read, rnnbench imported, `--help` shown."""

import subprocess
import sys

from .rows import Rows


class Compiling(Rows):
    """Kernels of one row: compiled in the first seed, read from the cache in the others."""

    def track_compile_seconds_cold(self, *row):
        return self.figure("compile_seconds_cold", *row)

    def track_compile_seconds_warm(self, *row):
        return self.figure("compile_seconds_warm", *row)


class Startup:
    """Whole processes, of tens of milliseconds each: long enough for asv's own clock. `python` alone is the part of the
    other two that is not ours."""

    version = "1"
    number = 1
    repeat = (3, 15, 5.0)
    warmup_time = 0.0

    def time_python(self):
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def time_import(self):
        subprocess.run([sys.executable, "-c", "import rnnbench"], check=True)

    def time_help(self):
        subprocess.run([sys.executable, "-m", "rnnbench", "--help"], check=True, stdout=subprocess.DEVNULL)
