"""A sine, one step ahead: trained on sixteen periods, tested on the four that follow.

A step is a quarter of a radian, and a period no whole number of steps: no window comes twice.
"""

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.forecast import Cut, ForecastTask, one_series
from rnnbench.tasks.spec import Budget, Task

STEP = 0.25  # radians
LENGTH = 500
CUT = Cut(window=20, test=100)
HIGHEST = 20  # Taylor's remainder at 1 is below 1/23! = 4e-23


def sine(angle: Array) -> Array:
    """Return the sine of angles in [-1, 1], to an ulp or so.

    Taylor's series in + - × ÷, which are rounded alike everywhere; `np.sin` gives other bits on another processor.
    """
    square = angle * angle
    tail = np.ones_like(angle)
    for k in range(HIGHEST, 0, -2):
        tail = 1 - square / (k * (k + 1)) * tail
    return angle * tail


def wave() -> Array:
    """Return sin(k STEP) for k = 0, 1, ... [LENGTH], by rotation; the error grows to some LENGTH ulps."""
    half, imaginary = (float(value) for value in sine(np.array([STEP / 2, STEP])))
    real = 1 - 2 * half * half
    values, (x, y) = [], (1.0, 0.0)
    for _ in range(LENGTH):
        values.append(y)
        x, y = x * real - y * imaginary, x * imaginary + y * real
    return np.array(values)


SINE = ForecastTask(
    id="sine",
    title="Next step of a sine",
    source="the usual first example; periods, window and split as in the module",
    share=0.8,
    budget=Budget(steps=200),
    table=one_series("sine", wave()),
    cut=CUT,
)


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [SINE]
