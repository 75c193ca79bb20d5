"""Mackey-Glass, a chaotic series from an equation with delay, six units ahead.

    x'(t) = β x(t-τ) / (1 + x(t-τ)^10) - γ x(t),    τ = 17, β = 0.2, γ = 0.1, x = 1.2 for t <= 0

Mackey and Glass 1977; six ahead from the eighteen units before, as Lapedes and Farber 1987. The score is the root mean
squared error over the standard deviation of the test targets, and the baseline that of persistence.

The integrator is our own, so that the series has the same bytes everywhere: Python floats and + - × ÷ alone, which are
rounded alike on every machine, unlike `pow`. Given its delayed part the equation is linear in x, so the trapezoidal
rule, of second order, needs no iteration; and its two delayed values lie on the grid, so nothing is interpolated.
"""

from functools import cache

import numpy as np

from rnnbench.hookspecs import hookimpl
from rnnbench.model import Array
from rnnbench.tasks.forecast import Cut, ForecastTask, one_series
from rnnbench.tasks.spec import Budget, Task

TAU, BETA, GAMMA = 17, 0.2, 0.1
START = 1.2
RATE = 10  # steps of the integrator in a unit of time
SETTLING = 200  # units left out, until the orbit is on its attractor
LENGTH = 1500
CUT = Cut(window=19, horizon=6, at_horizon=True, test=500)


def production(delayed: float) -> float:
    """Return β d / (1 + d^10)."""
    square = delayed * delayed
    fourth = square * square
    return BETA * delayed / (1 + fourth * fourth * square)


def orbit(units: int, rate: int) -> list[float]:
    """Return x at 0, 1/rate, 2/rate, ..., units."""
    lag = TAU * rate
    decay = GAMMA / (2 * rate)
    keep, gain = (1 - decay) / (1 + decay), 1 / (2 * rate) / (1 + decay)
    values = [START]
    produced = [production(START)] * (lag + 1)  # the last of them belongs to the last of `values`
    for _ in range(units * rate):
        values.append(keep * values[-1] + gain * (produced[-1 - lag] + produced[-lag]))
        produced.append(production(values[-1]))
    return values


@cache
def series() -> Array:
    """Return [LENGTH], one value per unit of time."""
    values = orbit(SETTLING + LENGTH - 1, RATE)[SETTLING * RATE :: RATE]
    sampled = np.array(values)
    sampled.setflags(write=False)
    return sampled


@hookimpl
def rnnbench_tasks() -> list[Task]:
    return [
        ForecastTask(
            id="mackey-glass",
            title=f"Mackey-Glass, {CUT.horizon} ahead",
            source="Mackey and Glass 1977; Lapedes and Farber 1987",
            share=0.6,
            budget=Budget(steps=400),
            table=one_series("mackey-glass", series()),
            cut=CUT,
            metric="nrmse",
        )
    ]
