"""The columns of a task's table, as text; what shows them decides how many there is room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnbench.records.summary import Row, varying
from rnnbench.report.text import DASH, plus_minus, significant, time_unit
from rnnbench.units import MIB

ALWAYS = 0


@dataclass(frozen=True)
class Column:
    """name and unit: the two lines of the head. priority: where room is short, the lower number stays; 0 always."""

    name: str
    unit: str
    cells: tuple[str, ...]
    priority: int = ALWAYS
    right: bool = True


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return every column that at least one of `rows` fills, in the order of display. A figure that is missing is a
    dash."""
    status = tuple(row.status for row in rows)
    made = [
        Column("cell", "", tuple(row.variant.cell for row in rows), right=False),
        Column("backend", "", tuple(row.backend for row in rows), right=False),
        *([] if all(row.ranked for row in rows) else [Column("status", "", status, right=False)]),
        *_sizes(rows),
        Column("params", "", _figures(rows, "parameters", "{:.0f}".format), 1),
        Column("score", "mean ± 95 %", tuple(map(_score, rows))),
        Column("learned", "seeds", tuple("{}/{}".format(*row.learned) if row.learned else DASH for row in rows), 2),
        _seconds("train", rows, "train_seconds", 3),
        _seconds("to learn", rows, "seconds_to_learn", 6),
        *_inference(rows),
        _seconds("first step", rows, "first_step_seconds", 12),
        _seconds("step p50", rows, "latency_p50_seconds", 5),
        _seconds("step p99", rows, "latency_p99_seconds", 9),
        Column("of peak", "%", _figures(rows, "roofline_fraction", lambda share: significant(100 * share, 2)), 7),
        Column("memory", "MiB", _figures(rows, "peak_rss_bytes", lambda count: f"{count / MIB:.0f}"), 8),
        _seconds("first call", rows, "first_call_seconds", 10),
    ]
    return tuple(column for column in made if any(cell != DASH for cell in column.cells))


def _sizes(rows: Sequence[Row]) -> list[Column]:
    """Return a column for each size that differs; the line under the table states the others."""
    heads = {"hidden_size": "hidden", "bidirectional": "both ways"}
    texts = {True: "yes", False: "no"}
    made = []
    for name in varying(rows):
        values = [getattr(row.variant, name) for row in rows]
        cells = tuple(texts[value] if isinstance(value, bool) else str(value) for value in values)
        made.append(Column(heads.get(name, name), "", cells))
    return made


def _figures(rows: Sequence[Row], figure: str, text: Callable[[float], str]) -> tuple[str, ...]:
    values = (row.value(figure) for row in rows)
    return tuple(DASH if value is None else text(value) for value in values)


def _score(row: Row) -> str:
    score = row.figure("score")
    if score is None:
        return DASH
    return plus_minus(score.value, None if score.high is None else score.high - score.value)


def _seconds(name: str, rows: Sequence[Row], figure: str, priority: int) -> Column:
    unit = time_unit(value for row in rows if (value := row.value(figure)) is not None)
    return Column(name, unit.name, _figures(rows, figure, unit.write), priority)


def _inference(rows: Sequence[Row]) -> tuple[Column, Column]:
    """Return the time of a call, and its interval where there is room."""
    found = [row.figure("infer_seconds") for row in rows]
    unit = time_unit(one.value for one in found if one)
    values = tuple(unit.write(one.value) if one else DASH for one in found)
    ends = tuple("–".join(map(unit.write, one.ends)) if one and one.ends else DASH for one in found)
    return Column("infer", unit.name, values), Column("95 %", unit.name, ends, 4)
