"""Reads the results that asv keeps: <folder>/benchmarks.json and <folder>/<machine>/<commit>-<environment>.json.

The format (version 2) is documented by asv and its Python interface is not promised, so the files are read and asv is
not asked. Whatever cannot be read is skipped with a line that says why; nothing that is not finite gets in.
"""

import math
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, Any

from rnnbench.records.fields import Name, Within, fitted
from rnnbench.records.sealed import Damaged, load_json
from rnnbench.tracking.series import Labels, Reading, Readings

VERSION = 2
NOT_RESULTS = ("machine.json",)
# asv names a benchmark file.Class.track_figure, or time_what where its own clock is used.
_TRACKED, _TIMED = re.compile(r"track_(\w+)$"), re.compile(r"time_(\w+)$")

Milliseconds = Annotated[int, Within(0, 250_000_000_000_000)]  # since 1970; calendars end in the year 9999
Rows = Annotated[int, Within(0, 100_000)]
Json = dict[str, Any]  # as asv has written it; what is not as expected raises when it is read


def read(folder: Path) -> Readings:
    """Read everything under a results folder of asv; nothing where there is no such folder."""
    if not folder.is_dir():
        return Readings()
    try:
        benchmarks = _load(folder / "benchmarks.json")
    except Damaged as error:
        return Readings((), (f"{folder / 'benchmarks.json'} {error}; no result can be read without it",))
    readings: list[Reading] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*/*.json")):
        if path.name in NOT_RESULTS:
            continue
        try:
            readings += _readings(_load(path), path.parent.name, benchmarks)
        except Damaged as error:
            problems.append(f"{path} {error}; skipped")
    return Readings(tuple(readings), tuple(problems))


def figure_name(benchmark: str) -> str | None:
    """Return infer_seconds for speed.Inference.track_infer_seconds, import_seconds for starting.Startup.time_import."""
    last = benchmark.rpartition(".")[2]
    if tracked := _TRACKED.match(last):
        return tracked[1]
    timed = _TIMED.match(last)
    return f"{timed[1]}_seconds" if timed else None


def _load(path: Path) -> Json:
    content = load_json(path)
    if not isinstance(content, dict):
        raise Damaged("is not a file of asv")
    return content


def _readings(content: Json, machine: str, benchmarks: Json) -> list[Reading]:
    """Return the figures of a result file. Raises Damaged for a file of another kind or version."""
    if content.get("version") != VERSION:
        raise Damaged(f"has version {shortened(content.get('version'))}, not {VERSION}")
    try:
        commit, seconds = fitted(Name, content["commit_hash"]), fitted(Milliseconds, content["date"]) // 1000
        environment, columns = fitted(str, content["env_name"]), fitted(list[str], content["result_columns"])
        found = []
        for benchmark, stored in fitted(dict[Name, Any], content["results"]).items():
            figure, known = figure_name(benchmark), benchmarks.get(benchmark)
            if figure is None or not isinstance(known, dict):
                continue
            named = dict(zip(columns, stored, strict=False))
            if str(named.get("version")) != str(known.get("version")):
                continue  # measured in another way, so it belongs to another series
            for labels, value in _rows(named, known):
                found.append(Reading(machine, environment, figure, labels, commit, seconds, value))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Damaged(f"is not a result of asv ({type(error).__name__}: {str(error)[:100]})") from None
    return found


def _rows(named: Json, known: Json) -> Iterator[tuple[Labels, float | None]]:
    """Yield a benchmark's figures by its parameters, which are stored as their repr."""
    names = fitted(list[Name], known["param_names"])
    choices = fitted(list[list[str]], named["params"])
    count = fitted(Rows, math.prod(map(len, choices)), "the number of rows")
    values = named["result"] if named["result"] is not None else [None] * count
    for chosen, value in zip(product(*choices), values, strict=True):
        yield tuple(zip(names, (item.strip("'\"") for item in chosen), strict=True)), _finite(value)


def _finite(value: object) -> float | None:
    """Return None for a failure, which asv stores as null, and for n/a, which it stores as NaN: both are gaps."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    found: float | None = fitted(float | None, value, "a figure")
    return found
