"""Backends that gain by a lie: which are caught, by what sentence, and how large a lie still passes."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
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
REQUESTS = (str(PLUGINS / "dishonest.py"), "no:backends.numba_cpu")
HONEST = CONTROLLED  # a stand-in, whose weights those that only infer are given
TOGETHER = 6  # backends in a comparison: all their processes are there at once
NOTHING = 0.01  # of the work left out, no more than that: the checks before timing, which repeat themselves
CAUGHT, TOLD, IN_VAIN, UNNOTICED = "caught", "told", "in vain", "unnoticed"


@dataclass(frozen=True)
class Found:
    """What became of one lie in one comparison. strength: in words. sentence: the row's reason or warning."""

    lie: str
    strength: str
    verdict: str
    sentence: str
    left_out: float


def lies() -> Sequence[Any]:
    """Load tests/plugins/dishonest.py, and return the lies it tells."""
    if problems := configure(REQUESTS).problems:
        raise RuntimeError(f"{problems[0].plugin}: {problems[0].message}")
    return import_module("dishonest").LIES


def cheats(count: int) -> dict[str, Any]:
    """Carry out `count` comparisons with every lie in every strength."""
    found, told = [], lies()
    asked = [(lie, strength) for lie in told for strength in lie.strengths]
    for number in range(count):
        for one in attempts(asked, number):
            print(f"{one.lie}, {one.strength}: {one.verdict} {one.sentence}", flush=True)
            found.append(one)
    return {"count": count, "lies": [_summary(lie, found) for lie in told]}


def attempts(asked: Sequence[tuple[Any, str]], seed: int) -> Iterator[Found]:
    """Yield what becomes of each lie, in one strength each. Raises RuntimeError where the honest one fails."""
    for task, group in groupby(asked, key=lambda pair: pair[0].task):
        waiting = list(group)
        for start in range(0, len(waiting), TOGETHER):
            yield from _comparison(task, waiting[start : start + TOGETHER], seed)


def _comparison(task: str, asked: Sequence[tuple[Any, str]], seed: int) -> Iterator[Found]:
    names = [lie.name(strength) for lie, strength in asked]
    with tempfile.TemporaryDirectory(prefix="rnnbench-cheats-") as folder:
        run = compare(
            task=task,
            cell="gru",
            backend=(HONEST, *names),
            seeds=1,
            seed=seed,
            results=folder,
            control=False,
        )
        rows = {row.backend: row for row in run.records()}
    honest = rows[HONEST]
    if honest.status != "ok" or honest.warnings:
        raise RuntimeError(f"the honest backend: {honest.status}: {honest.reason} {'; '.join(honest.warnings)}")
    for (lie, strength), name in zip(asked, names, strict=True):
        yield judged(lie, strength, rows[name])


def judged(lie: Any, strength: str, row: Record) -> Found:
    """Say what became of a lie whose row this is. Raises RuntimeError where it failed for another reason."""
    left_out = 1e3 * (row.compile_seconds or 0.0)
    named = any(words in row.reason for words in lie.answer)
    if row.status != "ok":
        if row.status not in ("mismatch", "bad_output") or not named:
            raise RuntimeError(f"{lie.id}, {strength}: {row.status}: {row.reason}")
        return Found(lie.id, strength, CAUGHT, row.reason.rpartition(";")[0], left_out)
    if row.warnings:
        return Found(lie.id, strength, TOLD, "; ".join(row.warnings), left_out)
    vain = lie.saves and left_out <= NOTHING
    return Found(lie.id, strength, IN_VAIN if vain else UNNOTICED, "", left_out)


def _summary(lie: Any, found: Sequence[Found]) -> dict[str, Any]:
    rows = []
    for strength in lie.strengths:
        own = [one for one in found if (one.lie, one.strength) == (lie.id, strength)]
        sentence = next((one.sentence for one in own if one.sentence), "")
        verdicts = dict(Counter(one.verdict for one in own))
        left_out = max(one.left_out for one in own)
        rows.append({"strength": strength, "verdicts": verdicts, "sentence": sentence, "left_out": left_out})
    return {"id": lie.id, "what": lie.what, "saves": lie.saves, "rows": rows}
