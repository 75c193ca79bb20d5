"""From runs to what is stored: a record per backend, and the raw samples beside it."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict
from typing import Any, TypeAlias

from rnnbench.comparison.backend_run import BackendRun
from rnnbench.comparison.plan import Group
from rnnbench.records.record import Record
from rnnbench.records.store import Run, Samples
from rnnbench.tasks.spec import Task, Training, Workload
from rnnbench.workers.failure import printable

Columns: TypeAlias = dict[str, Any]  # of a `Record`, by name
LONGEST_REASON = 300


def records(
    runs: Iterable[BackendRun],
    group: Group,
    task: Workload,
    training: Training,
    run: Run,
    versions: Mapping[str, Set[str]],
) -> list[Record]:
    """Return the listed runs' records. versions: of each backend, in the groups that the run held before."""
    shared = {**_of_group(group, task, training), **_of_run(run)}
    rows = []
    for backend_run in runs:
        if backend_run.listed:
            warnings = [*backend_run.warnings, *_version_warning(backend_run, versions)]
            rows.append(
                Record(
                    **shared,
                    **vars(backend_run.record),
                    backend=backend_run.info.id,
                    status=backend_run.status,
                    reason=_reason(backend_run),
                    warnings=tuple(printable(warning)[:LONGEST_REASON] for warning in warnings),
                )
            )
    return rows


def _reason(backend_run: BackendRun) -> str:
    """Return the cause, then the remedy, which is not what is cut off."""
    action = f"; {printable(backend_run.action)}" if backend_run.action else ""
    return printable(backend_run.reason)[: LONGEST_REASON - len(action)] + action


def samples(runs: Iterable[BackendRun]) -> Samples:
    """Return them by backend run: the control's too, and a trainer's that nobody asked for."""
    return {each.name: kept for each in runs if (kept := each.samples.as_json())}


def _of_group(group: Group, task: Workload, training: Training) -> Columns:
    columns = {**asdict(group), "input_size": task.input_size, "batch_size": training.batch_size}
    if isinstance(task, Task):
        columns |= {
            "score_name": task.score_name,
            "score_baseline": task.baseline,
            "score_better": task.score_better,
        }
    model = group.model(task)
    counts = {"parameters": model.count_parameters(), "parameters_two_bias": model.count_parameters(two_bias=True)}
    return columns | counts


def _of_run(run: Run) -> Columns:
    machine = run.machine
    return {
        "run_id": run.id,
        "machine": str(machine.get("id", "")),
        "commit": str(machine.get("commit", "")),
        "dirty": bool(machine.get("dirty", False)),
    }


def _version_warning(backend_run: BackendRun, versions: Mapping[str, Set[str]]) -> list[str]:
    now, before = backend_run.record.backend_version, versions.get(backend_run.info.id, set())
    others = sorted(before - {now, ""})
    return [f"other groups of this run were measured with version {', '.join(others)}"] if now and others else []
