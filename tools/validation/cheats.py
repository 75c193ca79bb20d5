"""Backends that gain by a lie: which are caught, by what sentence, and how large a lie still passes."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from rnnbench.api import compare
from rnnbench.records.comparisons import CONTROLLED
from rnnbench.records.record import Record
from rnnbench.registry import configure

PLUGINS = Path(__file__).resolve().parents[2] / "tests" / "plugins"
REQUESTS = (str(PLUGINS / "dishonest.py"), str(PLUGINS / "wrong_backward.py"), "no:backends.numba_cpu")
HONEST = CONTROLLED  # a stand-in, whose weights those that only infer are given
TOGETHER = 6  # backends in a comparison: all their processes are there at once
NOTHING = 0.03  # of the work left out, no more than that: calls before and between the timed ones may repeat
CAUGHT, TOLD, IN_VAIN, UNNOTICED = "caught", "told", "in vain", "unnoticed"
BACKWARD = "backward"
LONGEST_SENTENCE = 160


@dataclass(frozen=True)
class Found:
    """What became of one lie in one comparison. strength: in words. sentence: the row's reason or warning. left_out:
    the share of its work that it saved."""

    lie: str
    strength: str
    verdict: str
    sentence: str = ""
    left_out: float = 0.0


def lies() -> Sequence[Any]:
    """Load the plugins, and return the lies that dishonest.py tells."""
    if problems := configure(REQUESTS).problems:
        raise RuntimeError(f"{problems[0].plugin}: {problems[0].message}")
    return import_module("dishonest").LIES


def cheats(count: int) -> dict[str, Any]:
    """Carry out `count` comparisons with every lie in every strength."""
    told = lies()
    asked = [(lie, strength) for lie in told for strength in lie.strengths]
    found: list[Found] = []
    for number in range(count):
        for each in (attempts(asked, number), cells(number)):
            for one in each:
                print(f"{one.lie}, {one.strength}: {one.verdict} {one.sentence}", flush=True)
                found.append(one)
    what = {lie.id: (lie.what, lie.saves) for lie in told}
    what[BACKWARD] = (import_module("wrong_backward").WHAT, False)
    return {"count": count, "lies": [_summary(name, found, *what[name]) for name in what]}


def attempts(asked: Sequence[tuple[Any, str]], seed: int) -> Iterator[Found]:
    """Yield what becomes of each lie, in one strength each. Raises RuntimeError where the honest one fails."""
    for task, group in groupby(asked, key=lambda pair: pair[0].task):
        waiting = list(group)
        for start in range(0, len(waiting), TOGETHER):
            part = waiting[start : start + TOGETHER]
            rows = {row.backend: row for row in _rows((HONEST, *(lie.name(s) for lie, s in part)), task, "gru", seed)}
            _hold_honest(rows[HONEST])
            yield from (judged(lie, strength, rows[lie.name(strength)]) for lie, strength in part)


def judged(lie: Any, strength: str, row: Record) -> Found:
    """Say what became of a lie whose row this is. Raises RuntimeError where it failed without being found out."""
    left_out = 1e3 * (row.compile_seconds or 0.0)
    if row.status != "ok":
        if row.status not in ("mismatch", "bad_output"):
            raise RuntimeError(f"{lie.id}, {strength}: {row.status}: {row.reason}")
        return Found(lie.id, strength, CAUGHT, _cause(row))
    if row.warnings:
        return Found(lie.id, strength, TOLD, "; ".join(row.warnings), left_out)
    vain = lie.saves and left_out <= NOTHING
    return Found(lie.id, strength, IN_VAIN if vain else UNNOTICED, "", left_out)


def cells(seed: int, chosen: Sequence[float] = ()) -> Iterator[Found]:
    """Yield what becomes of cells whose backward is wrong: of those that are off by what is chosen, else of all. Raises
    RuntimeError where the one that is right fails."""
    offered = import_module("wrong_backward").CELLS.items()
    ids = {cell: f"{error:.0e}" for cell, error in offered if not chosen or error in chosen}
    rows = _rows((HONEST, "autograd"), "sum", list(ids), seed, hidden=2)
    for cell, strength in ids.items():
        own = {row.backend: row for row in rows if row.cell == cell}
        if strength == "0e+00":
            for row in own.values():
                _hold_honest(row)
        elif all(row.status != "ok" and names_cell(row) for row in own.values()):
            yield Found(BACKWARD, strength, CAUGHT, _cause(own["autograd"]))
        else:
            blamed = "; ".join(f"{row.backend} is blamed: {_cause(row)}" for row in own.values() if row.status != "ok")
            yield Found(BACKWARD, strength, UNNOTICED, blamed)


def names_cell(row: Record) -> bool:
    """Tell whether a row says that its cell is at fault."""
    return row.cell in row.reason and "backward" in row.reason


def _rows(backends: Sequence[str], task: str, cell: str | list[str], seed: int, **options: Any) -> list[Record]:
    with tempfile.TemporaryDirectory(prefix="rnnbench-cheats-") as folder:
        what = {"task": task, "cell": cell, "backend": backends, "seeds": 1, "seed": seed, "results": folder}
        run = compare(**what, control=False, no_baselines=True, **options)
        return run.records()


def _hold_honest(row: Record) -> None:
    if row.status != "ok" or row.warnings:
        said = "; ".join([row.reason, *row.warnings])
        raise RuntimeError(f"{row.backend} is honest and {row.status}: {said}")


def _cause(row: Record) -> str:
    """Return a row's reason without its remedy."""
    return row.reason.rpartition("; ")[0][:LONGEST_SENTENCE]


def _summary(name: str, found: Sequence[Found], what: str, saves: bool) -> Mapping[str, Any]:
    own = [one for one in found if one.lie == name]
    rows = []
    for strength in dict.fromkeys(one.strength for one in own):
        here = [one for one in own if one.strength == strength]
        sentence = next((one.sentence for one in here if one.sentence), "")
        verdicts = dict(Counter(one.verdict for one in here))
        left_out = max(one.left_out for one in here)
        rows.append({"strength": strength, "verdicts": verdicts, "sentence": sentence, "left_out": left_out})
    return {"id": name, "what": what, "saves": saves, "rows": rows}
