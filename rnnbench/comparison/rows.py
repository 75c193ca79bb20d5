"""From runs to what is stored: a record per backend, and the raw samples beside it."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any, TypeAlias

from rnnbench.comparison.backend_run import BackendRun, DraftRecord, RunSamples
from rnnbench.comparison.plan import Group
from rnnbench.records.record import Record
from rnnbench.records.store import Run, Samples, StoredGroup
from rnnbench.tasks.spec import Task, Training, Workload
from rnnbench.workers.failure import Failure, printable

Columns: TypeAlias = dict[str, Any]  # of a `Record`, by name
LONGEST_REASON = 300


def records(
    runs: Sequence[BackendRun],
    group: Group,
    task: Workload,
    training: Training,
    run: Run,
    versions: Mapping[str, Set[str]],
) -> list[Record]:
    """Return the listed runs' records; a run that measured what cannot be stored has failed, and its samples are gone.

    versions: of each backend, in the groups that the run held before.
    """
    shared = {**_of_group(group, task, training), **_of_run(run)}
    for each in runs:
        _hold_samples(each)
    return [_record(each, shared, versions) for each in runs if each.listed]


def baseline_records(
    runs: Sequence[BackendRun],
    parameters: Mapping[str, int | None],
    group: Group,
    task: Task,
    training: Training,
    run: Run,
) -> list[Record]:
    """Return the records of methods without recurrence, which are named by their run; parameters: by that name."""
    shared = {**_own(group), **_of_task(task, training), **_of_run(run)}
    for each in runs:
        _hold_samples(each)
    names = {each.name: each.name.partition(":")[2] for each in runs}
    own = [{**shared, "cell": names[each.name], "parameters": parameters[each.name]} for each in runs]
    return [_record(each, columns, {}) for each, columns in zip(runs, own, strict=True)]


def _hold_samples(backend_run: BackendRun) -> None:
    try:
        StoredGroup("", (), samples([backend_run]))
    except ValueError as misfit:
        _void(backend_run, misfit)


def _record(backend_run: BackendRun, shared: Columns, versions: Mapping[str, Set[str]]) -> Record:
    try:
        return Record(**shared, **_columns(backend_run, versions))
    except ValueError as misfit:
        _void(backend_run, misfit)
        return Record(**shared, **_columns(backend_run, versions))


def _void(backend_run: BackendRun, misfit: ValueError) -> None:
    """Let a run fail for what it measured, which is not kept."""
    backend_run.fail(Failure("bad_output", f"measured what cannot be: {misfit}"))
    backend_run.record, backend_run.samples = DraftRecord(), RunSamples()


def _columns(backend_run: BackendRun, versions: Mapping[str, Set[str]]) -> Columns:
    warnings = [*backend_run.warnings, *_version_warning(backend_run, versions)]
    return {
        **vars(backend_run.record),
        "backend": backend_run.info.id,
        "status": backend_run.status,
        "reason": _reason(backend_run),
        "warnings": tuple(printable(warning)[:LONGEST_REASON] for warning in warnings),
    }


def _reason(backend_run: BackendRun) -> str:
    """Return the cause, then the remedy, which is not what is cut off."""
    action = f"; {printable(backend_run.action)}" if backend_run.action else ""
    return printable(backend_run.reason)[: LONGEST_REASON - len(action)] + action


def samples(runs: Iterable[BackendRun]) -> Samples:
    """Return them by backend run: the control's too, and a trainer's that nobody asked for."""
    return {each.name: kept for each in runs if (kept := each.samples.as_json())}


def _of_group(group: Group, task: Workload, training: Training) -> Columns:
    model = group.model(task)
    counts = {"parameters": model.count_parameters(), "parameters_two_bias": model.count_parameters(two_bias=True)}
    return {**_own(group), **_of_task(task, training), **counts}


def _own(group: Group) -> Columns:
    return {name: value for name, value in asdict(group).items() if name != "timed"}


def _of_task(task: Workload, training: Training) -> Columns:
    columns: Columns = {"input_size": task.input_size, "batch_size": training.batch_size}
    if isinstance(task, Task):
        columns |= {
            "score_name": task.score_name,
            "score_baseline": task.baseline,
            "score_better": task.score_better,
        }
    return columns


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
