"""Cases under the machine's roof, as a report and as rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import geometric_mean

from rnnbench.report.columns import Column
from rnnbench.report.document import Report, Section
from rnnbench.report.notes import machine_line
from rnnbench.report.text import counted, joined, percent, significant, time_unit
from rnnbench.roofline.limits import MachineLimits
from rnnbench.roofline.points import BACKEND, Point
from rnnbench.units import KIB, MIB

GIGA = 1e9
BASIS = (
    "A limit is what the operations take at the peak, or what reading weights takes at the caches' bandwidth, "
    "whichever is longer: R at every step, W once a sequence, all of them as near as they fit. Operations per byte are "
    "of these weights; the elementwise part of a cell, its states, inputs and outputs are left out.",
)


def report(points: Sequence[Point], limits: MachineLimits, machine: Mapping[str, object]) -> Report:
    """Return the report. points: at least one; machine: as `environment.machine` tells it."""
    section = Section(
        title=f"forward passes of {BACKEND}, {limits.dtype}, {counted(limits.threads, 'thread')}",
        score=f"this machine: {machine_limits(limits)}",
        columns=_columns(points),
        failed=(False,) * len(points),
        basis=(*BASIS, _sizes(limits)),
        troubles=tuple(_troubles(points, limits)),
        findings=(_finding(points),),
    )
    return Report("rnnbench roofline", (section,), (machine_line(machine),))


def machine_limits(limits: MachineLimits) -> str:
    """Return the peak and every bandwidth in a line."""
    reads = [f"{level.name} {significant(level.bandwidth / GIGA)}" for level in limits.levels]
    return f"{significant(limits.flops_peak / GIGA)} GFLOP/s; reads {joined(reads)} GB/s"


def as_json(limits: MachineLimits) -> dict[str, object]:
    """Return the limits, with units in the names; a size is null where there is no end to it."""
    return {
        "dtype": limits.dtype,
        "threads": limits.threads,
        "peak_flops_per_second": limits.flops_peak,
        "sizes_known": limits.sizes_known,
        "levels": [
            {
                "name": level.name,
                "size_bytes": level.size,
                "read_bytes_per_second": level.bandwidth,
                "measured_over_bytes": level.measured_over,
            }
            for level in limits.levels
        ],
    }


def _columns(points: Sequence[Point]) -> tuple[Column, ...]:
    unit = time_unit(value for point in points for value in (point.seconds, point.limit_seconds))
    return (
        Column("cell", "", tuple(p.case.cell for p in points), right=False),
        Column("B, T, I, H", "", tuple(p.case.shape for p in points)),
        Column("operations", "million", _figures(p.flops / 1e6 for p in points), 3),
        Column("weights", "KiB a step", _figures(p.weight_bytes / p.case.seq_len / KIB for p in points), 2),
        Column("operations", "a byte", _figures(p.intensity for p in points), 1),
        Column("time", unit.name, tuple(unit.write(p.seconds) for p in points)),
        Column("limit", unit.name, tuple(unit.write(p.limit_seconds) for p in points)),
        Column("bound by", "", tuple(p.bound for p in points), right=False),
        Column("reached", "GFLOP/s", _figures(p.flops_per_second / GIGA for p in points), 4),
        Column("of limit", "%", tuple(significant(100 * p.fraction, 2) for p in points)),
    )


def _figures(values: Iterable[float]) -> tuple[str, ...]:
    return tuple(significant(value) for value in values)


def _finding(points: Sequence[Point]) -> str:
    least = min(points, key=lambda point: point.fraction)
    means = []
    for bound in dict.fromkeys(point.bound for point in points):
        own = [point.fraction for point in points if point.bound == bound]
        means.append(f"{percent(geometric_mean(own))} of what {bound} allows ({counted(len(own), 'case')})")
    where = f"{least.case.cell} at {least.case.shape}"
    return f"Reached, in the geometric mean: {joined(means)}. Least: {percent(least.fraction)}, {where}."


def _troubles(points: Sequence[Point], limits: MachineLimits) -> Iterator[str]:
    """Yield what cannot be, and so was measured while something else ran."""
    remedy = "something else ran while it was measured; repeat it on a quiet machine"
    for near, far in pairwise(limits.levels):
        if near.bandwidth < far.bandwidth:
            yield f"{near.name} was read more slowly than {far.name}: {remedy}."
    above = [f"{point.case.cell} at {point.case.shape}" for point in points if point.fraction > 1]
    if above:
        yield f"Above the limit: {joined(above)}. What limits it was measured too low: {remedy}."


def _sizes(limits: MachineLimits) -> str:
    told = "as the system tells them" if limits.sizes_known else "assumed, since the system does not tell"
    sizes = [f"{level.name} {_size(level.size)}" for level in limits.levels if level.size is not None]
    over = [f"{level.name} over {_size(level.measured_over)}" for level in limits.levels]
    return f"Caches of {counted(limits.threads, 'thread')}, {told}: {joined(sizes)}; measured {joined(over)}."


def _size(count: int) -> str:
    return f"{count / MIB:.3g} MiB" if count >= MIB else f"{count / KIB:.4g} KiB"
