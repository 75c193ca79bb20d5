"""From lanes to what is stored: a record per backend, and the raw samples beside it."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from rnnbench.measure.failure import printable
from rnnbench.measure.lane import Lane
from rnnbench.measure.plan import Group, Training
from rnnbench.records.record import Record
from rnnbench.records.store import Run, Samples
from rnnbench.tasks.spec import Task

LONGEST_REASON = 300


def records(
    lanes: Iterable[Lane], group: Group, task: Task, training: Training, run: Run, versions: Mapping[str, Set[str]]
) -> list[Record]:
    """versions: of each backend, in the groups that the run held before."""
    shared = {**_of_group(group, task, training), **_of_run(run)}
    rows = []
    for lane in lanes:
        if lane.listed:
            warnings = [*lane.warnings, *_version_warning(lane, versions)]
            rows.append(
                Record(
                    **shared,
                    **lane.columns,
                    backend=lane.info.id,
                    status=lane.status,
                    reason=_reason(lane),
                    warnings=tuple(printable(warning)[:LONGEST_REASON] for warning in warnings),
                )
            )
    return rows


def _reason(lane: Lane) -> str:
    """The cause, then the remedy, which is not what is cut off."""
    action = f"; {printable(lane.action)}" if lane.action else ""
    return printable(lane.reason)[: LONGEST_REASON - len(action)] + action


def samples(lanes: Iterable[Lane]) -> Samples:
    """By lane: the twin's are there too, a trainer's that nobody asked for as well."""
    return {lane.name: lane.samples for lane in lanes if lane.samples}


def _of_group(group: Group, task: Task, training: Training) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "task": task.id,
        "cell": group.cell,
        "input_size": task.input_size,
        "hidden_size": group.hidden_size,
        "layers": group.layers,
        "bidirectional": group.bidirectional,
        "dtype": group.dtype,
        "threads": group.threads,
        "seed": group.seed,
        "batch_size": training.batch_size,
    }
    if task.score is not None:
        columns |= {
            "score_name": task.score_name,
            "score_baseline": task.baseline,
            "score_better": task.score_better,
        }
    return columns | _parameters(group, task)


def _parameters(group: Group, task: Task) -> dict[str, int]:
    model = group.model(task)
    return {"parameters": model.count_parameters(), "parameters_two_bias": model.count_parameters(two_bias=True)}


def _of_run(run: Run) -> dict[str, Any]:
    machine = run.machine
    return {
        "run_id": run.id,
        "machine": str(machine.get("id", "")),
        "commit": str(machine.get("commit", "")),
        "dirty": bool(machine.get("dirty", False)),
    }


def _version_warning(lane: Lane, versions: Mapping[str, Set[str]]) -> list[str]:
    now, before = lane.columns.get("backend_version", ""), versions.get(lane.info.id, set())
    others = sorted(before - {now, ""})
    return [f"other groups of this run were measured with version {', '.join(others)}"] if now and others else []
