"""Runs made by hand, for what is said of runs: figures are chosen, nothing is measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.comparison.description import Description, TaskNote
from rnnbench.comparison.plan import Group, Settings
from rnnbench.records.comparisons import CONTROL, INFER
from rnnbench.records.record import BASELINE, Record
from rnnbench.records.store import Run, Store
from rnnbench.tasks.spec import Training

MACHINE = {"id": "testor-2c", "cpu": "Testor 9000", "cores": 2, "python": "3.11.9", "packages": {"numba": "0.68.1"}}
TITLES = {"sunspots": "Sunspots of the next year", "adding": "Adding two marked numbers of 30"}
ERRORS = {"rnn-tanh": 0.72, "lstm": 0.61, "gru": 0.55}  # mean score by cell
PARAMETERS = {"rnn-tanh": 1121, "lstm": 4385, "gru": 3329}
SECONDS = {"numba": 2.2e-4, "numpy": 5.1e-3}  # of an inference call, by backend
BUDGET = Training(200)
Change = Callable[[Record], Record]


def record(task: str, cell: str, backend: str, seed: int, hidden_size: int = 32, **changes: Any) -> Record:
    """A row as a run would make it. Scores differ from seed to seed by the same amount for every cell."""
    score = ERRORS[cell] + 0.01 * (seed % 5 - 2)
    seconds = SECONDS.get(backend, 1e-3) * (1 + 0.001 * (seed % 5))
    trains = backend == "numba"
    row = Record(
        task=task,
        cell=cell,
        backend=backend,
        input_size=1,
        hidden_size=hidden_size,
        layers=1,
        bidirectional=False,
        dtype="float32",
        threads=1,
        seed=seed,
        status="ok",
        batch_size=32,
        seq_len=12,
        parameters=PARAMETERS[cell],
        parameters_two_bias=PARAMETERS[cell] + 32,
        score_name="error / persistence",
        score=score,
        score_baseline=1.0,
        score_better="lower",
        learned=score <= 0.95,
        train_steps=200 if trains else None,
        train_seconds=0.21 if trains else None,
        seconds_to_learn=0.05 if trains else None,
        infer_seconds=seconds,
        infer_seconds_low=seconds * 0.98,
        infer_seconds_high=seconds * 1.03,
        latency_p50_seconds=seconds / 90,
        latency_p99_seconds=seconds / 60,
        first_call_seconds=0.4,
        compile_seconds=1.9 if trains else None,
        compile_cache=("cold" if seed == 0 else "warm") if trains else None,
        peak_rss_bytes=210 * 2**20,
        roofline_fraction=0.31 if trains else None,
    )
    return replace(row, **changes)


def baseline(task: str, name: str, seed: int, score: float, parameters: int = 13, **changes: Any) -> Record:
    """A row of a method without recurrence."""
    sizes = {"hidden_size": 0, "layers": 0, "parameters": parameters, "parameters_two_bias": None}
    untold = ("latency_p50_seconds", "latency_p99_seconds", "first_call_seconds", "compile_seconds", "compile_cache")
    row = record(task, "gru", "numba", seed, score=score, learned=score <= 0.95)
    row = replace(row, cell=name, backend=BASELINE, **sizes, **dict.fromkeys(untold))
    times = {"train_steps": None, "seconds_to_learn": None, "peak_rss_bytes": None, "roofline_fraction": None}
    return replace(row, **{**times, "train_seconds": 3e-4, "infer_seconds": 2e-6, **changes})


def failed(row: Record, status: str, reason: str) -> Record:
    """The row as it looks when its group could not be measured."""
    figures = [name for name, value in row.as_json().items() if isinstance(value, float)]
    return replace(row, **dict.fromkeys(figures), learned=None, status=status, reason=reason)


def stored(
    root: Path,
    tasks: Sequence[str] = ("sunspots",),
    cells: Sequence[str] = ("rnn-tanh", "lstm", "gru"),
    backends: Sequence[str] = ("numba", "numpy"),
    hidden_sizes: Sequence[int] = (32,),
    seeds: int = 5,
    change: Change = lambda row: row,
    control: bool = True,
    baselines: Mapping[str, float] | None = None,
    training: Training = BUDGET,
) -> Run:
    """A complete run in a store at `root`; `change` alters its rows. baselines: their scores, by id."""
    settings = Settings(
        tasks=tuple(tasks), cells=tuple(cells), backends=tuple(backends), hidden_sizes=tuple(hidden_sizes), seeds=seeds
    )
    description = Description(settings, {task: TaskNote(TITLES.get(task, task), training) for task in tasks})
    run = Store(root).create(description.as_json(), settings.digest(), MACHINE)
    rng = np.random.default_rng(0)
    for seed in range(seeds):
        for task in tasks:
            if baselines:
                rivals = [change(baseline(task, name, seed, score)) for name, score in baselines.items()]
                run.append(f"{task}_s{seed}_baselines", rivals, {})
            for hidden in hidden_sizes:
                for cell in cells:
                    rows = [change(record(task, cell, name, seed, hidden)) for name in backends]
                    group = Group(task, cell, hidden, 1, False, "float32", 1, seed)
                    run.append(group.key, rows, _samples(rows, rng, control))
    run.finish()
    return run


def _samples(rows: Sequence[Record], rng: np.random.Generator, control: bool) -> dict[str, dict[str, Any]]:
    """Seven rounds a backend, with half a percent of noise; the control repeats numba."""
    speeds = {row.backend: row.infer_seconds for row in rows if row.infer_seconds}
    if control and "numba" in speeds:
        speeds[CONTROL] = speeds["numba"]
    return {name: {INFER: (value * rng.normal(1, 0.005, 7)).tolist()} for name, value in speeds.items()}
