"""The gate: two commits measured interleaved, or two stored runs of one machine, and what got worse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rnnbench.errors import UsageError
from rnnbench.records.store import Run
from rnnbench.tracking import compare_runs, regressions
from rnnbench.tracking.ab import TIMED, Checkout, GatePlan, OnProgress, measure
from rnnbench.tracking.commits import Commit, Repository
from rnnbench.tracking.regressions import BrokenCell, Change
from rnnbench.workers.sandbox import private_folder, termination_as_interrupt
from rnnbench.workers.worker import WorkerLimits


@dataclass(frozen=True)
class Regression:
    """again: what the second measurement found; None for stored runs, which cannot be measured again."""

    first: Change
    again: Change | None


@dataclass(frozen=True)
class GateResult:
    """changes: every series of the first measurement. unconfirmed: flagged at first alone. broken: cells that one side
    could not run."""

    changes: tuple[Change, ...]
    regressions: tuple[Regression, ...]
    unconfirmed: tuple[Change, ...]
    broken: tuple[BrokenCell, ...]

    @property
    def passed(self) -> bool:
        return not self.regressions and not any(cell.regressed for cell in self.broken)


def gate_commits(
    repository: Repository,
    base: Commit,
    candidate: Commit,
    plan: GatePlan,
    on_progress: OnProgress,
    pythons: tuple[str, str],
    limits: WorkerLimits | None = None,
) -> GateResult:
    """Measure both commits, and what looks like a regression once more. on_progress: told, in a few words, where the
    measurement is. pythons: the interpreters of the two sides. Raises UsageError where the base cannot be measured at
    all: then there is nothing to compare with."""
    with termination_as_interrupt(), private_folder() as folder:
        # Names of one length: how long its environment is can move a program's stack, and with it its speed.
        before = _checkout(repository, base, folder.resolve() / "side-a", pythons[0])
        after = _checkout(repository, candidate, folder.resolve() / "side-b", pythons[1])
        first = measure(before, after, plan, on_progress, limits)
        found, broken = regressions.changes(first, plan.backend), regressions.broken(first, plan.backend)
        if not found and not any(cell.regressed for cell in broken):
            raise UsageError(f"the base, {base}, cannot be measured: {broken[0].reason}; choose a later one")
        flagged, lost = regressions.regressed(found), [cell for cell in broken if cell.regressed]
        if not flagged and not lost:
            return GateResult(tuple(found), (), (), tuple(broken))
        on_progress(f"{len(flagged) + len(lost)} of {len(found) + len(lost)} series look worse; measuring again")
        second = measure(before, after, narrowed(plan, flagged, lost), on_progress, limits)
    return confirmed(
        found, flagged, broken, regressions.changes(second, plan.backend), regressions.broken(second, plan.backend)
    )


def _checkout(repository: Repository, commit: Commit, root: Path, python: str) -> Checkout:
    repository.export(commit, root)
    return Checkout(root, python)


def gate_runs(before: Run, after: Run) -> GateResult:
    """Compare what is stored. Raises UsageError for runs of unlike machines, or without a row in common."""
    found, broken = compare_runs.compare(before, after)
    return GateResult(
        tuple(found), tuple(Regression(change, None) for change in regressions.regressed(found)), (), tuple(broken)
    )


def narrowed(plan: GatePlan, flagged: Sequence[Change], lost: Sequence[BrokenCell]) -> GatePlan:
    """Return the part of the plan that shows these again. Memory is that of everything together."""
    if any(change.figure == "memory" for change in flagged):
        return plan
    names = {*(change.name for change in flagged), *(cell.name for cell in lost)}
    return replace(
        plan,
        cells=tuple(cell for cell in plan.cells if f"{cell} on {plan.backend}" in names),
        figures=frozenset(change.figure for change in flagged) & {*TIMED, "score"} if not lost else plan.figures,
    )


def confirmed(
    found: Sequence[Change],
    flagged: Sequence[Change],
    broken: Sequence[BrokenCell],
    found_again: Sequence[Change],
    broken_again: Sequence[BrokenCell],
) -> GateResult:
    """Return as regressions what both measurements show; the second is judged by the flagged series alone."""
    wanted = {(change.name, change.figure) for change in flagged}
    again = [change for change in found_again if (change.name, change.figure) in wanted]
    upheld = {(change.name, change.figure): change for change in regressions.regressed(again)}
    lost = {cell.name for cell in broken_again}
    return GateResult(
        tuple(found),
        tuple(Regression(f, upheld[f.name, f.figure]) for f in flagged if (f.name, f.figure) in upheld),
        tuple(f for f in flagged if (f.name, f.figure) not in upheld),
        tuple(replace(cell, regressed=cell.regressed and cell.name in lost) for cell in broken),
    )
