"""A plugin with the task of tests/rising.py, which so is computed in a process of its own."""

import sys
from pathlib import Path

from rnnbench import hookimpl

sys.path.append(str(Path(__file__).parents[1]))

from rising import rising


@hookimpl
def rnnbench_tasks():
    return [rising("plugin-rising")]
