"""How the kernels' forward pass grows with steps and rows: python benchmarks/growth.py

LSTM and GRU in float32 on one thread. Every size is checked against the float64 reference before it is timed. The sizes
of a curve are interleaved, so that a busy moment hits all of them alike; a time is the best of the rounds, since others
can only make one longer. Each curve has its slope on logarithmic axes: 1 is time in proportion, less is a fixed cost
that more steps or rows share. Beside each time stands what a call allocates besides its output. Writes
results/reference/growth.md and growth.svg; about a minute.
"""

import argparse
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np

import rnnbench
from rnnbench import atomic, clock
from rnnbench.backends.base import Session
from rnnbench.machine.environment import machine
from rnnbench.model import Array, Model
from rnnbench.report import markdown
from rnnbench.report.notes import machine_line
from rnnbench.report.plot_file import save
from rnnbench.roofline.points import BACKEND, check

OUT = Path(__file__).resolve().parent.parent / "results" / "reference"
CELLS = ("lstm", "gru")
I, H = 64, 128
STEPS = tuple(50 * 2**n for n in range(7))  # 50 to 3200
ROWS = tuple(2**n for n in range(9))  # 1 to 256
T, B = "T", "B"


@dataclass(frozen=True)
class GrowthCurve:
    """One cell over sizes of `axis`, "T" or "B", the other being `fixed`. seconds: of a call; extra_bytes: see
    `extra_bytes`."""

    cell: str
    axis: str
    fixed: int
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    extra_bytes: tuple[int, ...]

    @property
    def name(self) -> str:
        """Return what tells a curve from the others over its axis."""
        other = B if self.axis == T else T
        return f"{self.cell}, {other} = {self.fixed}"

    def slope(self, start: int = 0) -> float:
        """Return the slope of the least squares line through log(seconds) over log(size), from the size `start` on."""
        return float(np.polyfit(np.log(self.sizes[start:]), np.log(self.seconds[start:]), 1)[0])

    @property
    def steepest(self) -> float:
        """Return the largest slope between two neighbouring sizes."""
        points = zip(np.log(self.sizes), np.log(self.seconds), strict=True)
        return max(float((t2 - t1) / (s2 - s1)) for (s1, t1), (s2, t2) in pairwise(points))


def measured(cell: str, axis: str, sizes: Sequence[int], fixed: int) -> GrowthCurve:
    """Check and time one cell over the sizes of an axis."""
    model = Model(cell, I, H, readout="last")
    params = model.init(0)
    session = rnnbench.session(BACKEND, model, params)
    rng = np.random.default_rng(0)
    shapes = [(size, fixed, I) if axis == T else (fixed, size, I) for size in sizes]
    inputs = {size: rng.standard_normal(shape).astype(np.float32) for size, shape in zip(sizes, shapes, strict=True)}
    for size, x in inputs.items():
        check(session, model, params, x, f"{cell}, {axis} = {size}")

    seconds = clock.samples({size: partial(session.forward, x) for size, x in inputs.items()}, Random(0))
    best = tuple(min(seconds[size]) for size in sizes)
    return GrowthCurve(
        cell, axis, fixed, tuple(sizes), best, tuple(extra_bytes(session, inputs[size]) for size in sizes)
    )


def extra_bytes(session: Session, x: Array, lengths: Array | None = None) -> int:
    """Return the most that a forward pass allocates at any moment besides its output, as Python's allocators and
    NumPy's tell it; a size of call that has not been seen before makes its plan, which counts too."""
    tracemalloc.start()
    try:
        y, _ = session.forward(x, lengths)
        return tracemalloc.get_traced_memory()[1] - y.nbytes
    finally:
        tracemalloc.stop()


def document(curves: Sequence[GrowthCurve], where: str) -> str:
    """Return the curves as Markdown. where: a line on the machine."""
    parts = [
        "# Growth with steps and rows",
        "Written by `python benchmarks/growth.py`. Forward passes of numba, float32, one thread, "
        f"I = {I}, H = {H}, the last h read out; {where[0].lower()}{where[1:]}",
        "Slopes are of log(time) over log(size): 1 is time in proportion. Few rows cost less than in proportion, since "
        "all rows of a step share one reading of the weights, and a tile holds several rows.",
        "![time over T and over B](growth.svg)",
        markdown.table(
            ("cell", "over", "slope", "of the upper half", "steepest between neighbours"),
            [
                (s.name, s.axis, *(f"{v:.2f}" for v in (s.slope(), s.slope(len(s.sizes) // 2), s.steepest)))
                for s in curves
            ],
        ),
    ]
    for axis in (T, B):
        some = [curve for curve in curves if curve.axis == axis]
        heads = (axis, *(f"{s.name}: ms" for s in some), *(f"{s.name}: bytes besides y" for s in some))
        lines = [
            (str(size), *(f"{1e3 * s.seconds[n]:.3g}" for s in some), *(str(s.extra_bytes[n]) for s in some))
            for n, size in enumerate(some[0].sizes)
        ]
        parts += [f"## Over {axis}", markdown.table(heads, lines)]
    return "\n\n".join(parts) + "\n"


def draw(curves: Sequence[GrowthCurve], path: Path) -> None:
    """Draw a panel for each axis. Dashed: in proportion, through a curve's last point."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9.0, 4.2), layout="constrained")
        for panel, (axis, words) in zip(figure.subplots(1, 2), ((T, "steps"), (B, "rows")), strict=True):
            for curve in (curve for curve in curves if curve.axis == axis):
                sizes, times = np.array(curve.sizes), 1e3 * np.array(curve.seconds)
                (line,) = panel.loglog(
                    sizes, times, "o-", ms=3, lw=1, label=f"{curve.name} (slope {curve.slope():.2f})"
                )
                panel.loglog(sizes, times[-1] * sizes / sizes[-1], "--", lw=0.8, alpha=0.6, color=line.get_color())
            panel.set_xticks(sizes, [str(size) for size in sizes], minor=False)
            panel.set_xticks([], minor=True)
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.set_xlabel(f"{axis} ({words}); dashed: in proportion")
            panel.set_ylabel("ms a forward pass")
            panel.grid(alpha=0.3)
            panel.legend()
        save(figure, path)


def main() -> None:
    """Measure all curves and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="the folder to write to")
    out = parser.parse_args().out
    curves = []
    for axis, sizes, fixed in ((T, STEPS, 1), (T, STEPS, 32), (B, ROWS, 100)):
        for cell in CELLS:
            curves.append(measured(cell, axis, sizes, fixed))
            last = curves[-1]
            print(f"{last.name}: over {axis} a slope of {last.slope():.2f}", flush=True)  # noqa: T201
    out.mkdir(parents=True, exist_ok=True)
    draw(curves, out / "growth.svg")
    atomic.write(out / "growth.md", document(curves, machine_line(machine())))


if __name__ == "__main__":
    main()
