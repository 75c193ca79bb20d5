"""The columns of a task's table, as text; what shows them decides how many there is room for."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rnnbench.records.summary import Row, varying
from rnnbench.report.text import DASH, Unit, duration, plus_minus, significant, time_unit
from rnnbench.units import MIB

ALWAYS = 0
MOST_UNITS = 1e5  # times that lie farther apart do not go into one unit: a fit of microseconds beside minutes


@dataclass(frozen=True)
class Column:
    """name and unit: the two lines of the head. priority: where room is short, the lower number stays; 0 always. long:
    what it is called away from its neighbours, where that is another name."""

    name: str
    unit: str
    cells: tuple[str, ...]
    priority: int = ALWAYS
    right: bool = True
    long: str = ""


def columns(rows: Sequence[Row], early: bool = False) -> tuple[Column, ...]:
    """Return every column that at least one of `rows` fills, in the order of display. A figure that is missing is a
    dash. early: whether training may have ended before its last step."""
    status = tuple(row.status for row in rows)
    runs = "runs" if any(row.folds for row in rows) else "seeds"
    made = [
        Column("cell", "", tuple(row.variant.cell for row in rows), right=False),
        Column("backend", "", tuple(DASH if row.is_baseline else row.backend for row in rows), right=False),
        *([] if all(row.ranked for row in rows) else [Column("status", "", status, right=False)]),
        *_sizes(rows),
        Column("params", "", _figures(rows, "parameters", "{:.0f}".format), 1),
        Column("score", "mean ± 95 %", tuple(map(score_text, rows))),
        Column("learned", runs, tuple("{}/{}".format(*row.learned) if row.learned else DASH for row in rows), 2),
        *_errors(rows),
        _seconds("train", rows, "train_seconds", 3),
        *([Column("steps", "", _figures(rows, "train_steps", "{:.0f}".format), 6)] if early else []),
        _seconds("to learn", rows, "seconds_to_learn", 9),
        *_inference(rows),
        _seconds("first step", rows, "first_step_seconds", 15),
        _seconds("step p50", rows, "latency_p50_seconds", 8),
        _seconds("step p99", rows, "latency_p99_seconds", 12),
        Column("of peak", "%", _figures(rows, "roofline_fraction", lambda share: significant(100 * share, 2)), 10),
        Column("memory", "MiB", _figures(rows, "peak_rss_bytes", lambda count: f"{count / MIB:.0f}"), 11),
        _seconds("first call", rows, "first_call_seconds", 13),
    ]
    return tuple(column for column in made if any(cell != DASH for cell in column.cells))


def _errors(rows: Sequence[Row]) -> list[Column]:
    """Return the scores of forecasts beside the one that ranks, and its median over series."""
    heads = {"score_median": ("median", 4), "mae": ("MAE", 4), "mase": ("MASE", 5), "rmse": ("RMSE", 14)}
    heads |= {"smape": ("sMAPE", 14), "persistence_ratio": ("/ persistence", 14)}
    return [
        Column(head, "%" if name == "smape" else "", _figures(rows, name, significant), priority)
        for name, (head, priority) in heads.items()
        if not all(math.isclose(row.value(name) or 0.0, row.value("score") or 0.0) for row in rows)
    ]


def _sizes(rows: Sequence[Row]) -> list[Column]:
    """Return a column for each size that differs; the line under the table states the others."""
    heads = {"hidden_size": "hidden", "bidirectional": "both ways"}
    texts = {True: "yes", False: "no"}
    made = []
    for name in varying(rows):
        values = [None if row.is_baseline else getattr(row.variant, name) for row in rows]
        cells = tuple(DASH if v is None else texts[v] if isinstance(v, bool) else str(v) for v in values)
        made.append(Column(heads.get(name, name), "", cells))
    return made


def _figures(rows: Sequence[Row], figure: str, text: Callable[[float], str]) -> tuple[str, ...]:
    values = (row.value(figure) for row in rows)
    return tuple(DASH if value is None else text(value) for value in values)


def score_text(row: Row) -> str:
    """Write a row's mean score with the half-width of its interval."""
    score = row.figure("score")
    return DASH if score is None else plus_minus(score.value, score.half)


def _seconds(name: str, rows: Sequence[Row], figure: str, priority: int) -> Column:
    unit, write = _time(row.value(figure) for row in rows)
    return Column(name, unit, _figures(rows, figure, write), priority)


def _inference(rows: Sequence[Row]) -> tuple[Column, Column]:
    """Return the time of a call, and its interval where there is room."""
    found = [row.figure("infer_seconds") for row in rows]
    unit, write = _time(one.value for one in found if one)
    values = tuple(write(one.value) if one else DASH for one in found)
    ends = tuple("–".join(map(write, one.ends)) if one and one.ends else DASH for one in found)
    return Column("infer", unit, values), Column("95 %", unit, ends, 7, long="infer 95 %")


def _time(values: Iterable[float | None]) -> tuple[str, Callable[[float], str]]:
    """Return the unit that serves times, and what writes them in it; no unit, where each has to have its own."""
    known = [value for value in values if value is not None]
    unit: Unit = time_unit(known)
    if known and max(known) > MOST_UNITS * unit.seconds:
        return "", duration
    return unit.name, unit.write
