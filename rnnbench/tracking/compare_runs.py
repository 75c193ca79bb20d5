"""Two stored runs as the gate's changes."""

from collections.abc import Mapping, Sequence

from rnnbench.errors import UsageError
from rnnbench.records.comparisons import noise
from rnnbench.records.figures import value
from rnnbench.records.record import Record
from rnnbench.records.store import Run
from rnnbench.tracking.ab import TIMED
from rnnbench.tracking.checkout_worker import ModelFacts
from rnnbench.tracking.from_runs import labels
from rnnbench.tracking.regressions import GATE_FIGURES, BrokenCell, Change, exact, grown, less_accurate
from rnnbench.tracking.series import Labels

Rows = dict[Labels, dict[int, Record]]


def compare(before: Run, after: Run) -> tuple[list[Change], list[BrokenCell]]:
    """Compare the rows that both runs have, process paired with process. Raises UsageError for unlike machines, or no
    such row."""
    here, there = (str(run.machine.get("id", "")) for run in (before, after))
    if not here or here != there:
        raise UsageError(
            f"run {before.id} is of machine {here or 'unknown'} and run {after.id} of {there or 'unknown'}; "
            "speeds of unlike machines do not compare: measure both on one"
        )
    old, new = _rows(before), _rows(after)
    common = [row for row in old if row in new]
    if not common:
        raise UsageError(f"runs {before.id} and {after.id} have no row in common; compare runs of the same settings")
    noises = noise(before.groups()), noise(after.groups())
    found: list[Change] = []
    broken: list[BrokenCell] = []
    for row in common:
        name = _name(row)
        sides = [rows[row] for rows in (old, new)]
        failures = [next((r for r in side.values() if r.failed), None) for side in sides]
        if failure := failures[0] or failures[1]:
            broken.append(BrokenCell(name, f"{failure.status}: {failure.reason}", regressed=failures[0] is None))
            continue
        for figure in (*TIMED, "memory"):
            a, b = (_column(side, GATE_FIGURES[figure].name) for side in sides)
            if a.keys() & b.keys():
                found.append(grown(name, figure, a, b, *noises))
        old_scores, new_scores = (_column(side, "score") for side in sides)
        if old_scores.keys() & new_scores.keys():
            better = next(iter(sides[0].values())).score_better
            found.append(less_accurate(name, old_scores, new_scores, {}, better))
        found += exact(name, *(_facts(list(side.values())) for side in sides))
    return found, broken


def _rows(run: Run) -> Rows:
    """Return the records by row, then by seed."""
    rows: Rows = {}
    for record in run.records():
        rows.setdefault(labels(record), {})[record.seed] = record
    return rows


def _column(records: Mapping[int, Record], column: str) -> dict[int, float]:
    found = {seed: getattr(record, column) for seed, record in records.items()}
    return {seed: float(value) for seed, value in found.items() if value is not None}


def _facts(records: Sequence[Record]) -> ModelFacts:
    one_bias, two = (int(value(figure, records) or 0) for figure in ("parameters", "parameters_two_bias"))
    return ModelFacts(value("forward_error", records), one_bias, two)


def _name(row: Labels) -> str:
    named = dict(row)
    return f"{named['task']} {named['cell']} h{named['hidden_size']} on {named['backend']}"
