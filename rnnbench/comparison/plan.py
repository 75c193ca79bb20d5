"""What is to be measured: the settings of a comparison, and the groups they unfold into."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import prod

from rnnbench.errors import UsageError
from rnnbench.model import DTYPES, Model
from rnnbench.records.store import SCORED
from rnnbench.records.summary import Variant
from rnnbench.registry import Registry
from rnnbench.tasks.spec import Task, Training, Workload

DEFAULT_TASKS = ("sunspots", "adding", "sine")
DEFAULT_CELLS = ("rnn-tanh", "lstm", "gru")
LARGEST = 2**31 - 1  # of a size: far beyond what any memory holds, and what every library can count to
MOST_GROUPS = 100_000  # of one run: more than a day of work, and few enough to be held
MOST_FOLDS = 1000
BASELINES = "baselines"  # in place of a cell
DEFAULT_SEEDS = 5  # a seed has processes of its own, and a verdict needs five


@dataclass(frozen=True)
class Settings:
    """One comparison. None (or an empty tuple of backends: all installed ones) leaves a choice to the task's budget.

    folds: of a rolling origin inside the training part, on which the variant that is tested is chosen; None tests all.
    all_backends: run every variant on every backend, not only the few that one backend has scored best.
    """

    tasks: tuple[str, ...] = DEFAULT_TASKS
    cells: tuple[str, ...] = DEFAULT_CELLS
    backends: tuple[str, ...] = ()
    hidden_sizes: tuple[int, ...] = ()
    layers: tuple[int, ...] = (1,)
    bidirectional: bool = False
    dtypes: tuple[str, ...] = ("float32",)
    batch_size: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    seeds: int = DEFAULT_SEEDS
    seed: int = 0
    threads: tuple[int, ...] = (1,)
    quick: bool = False
    folds: int | None = None
    all_backends: bool = False
    no_baselines: bool = False

    def __post_init__(self) -> None:
        for name in ("hidden_sizes", "layers", "threads"):
            if any(value < 1 for value in getattr(self, name)):
                raise UsageError(f"--{name.split('_')[0]} takes whole numbers of at least 1; got {getattr(self, name)}")
            if max(getattr(self, name), default=1) > LARGEST:
                raise UsageError(f"--{name.split('_')[0]} takes {LARGEST} at most; got {max(getattr(self, name))}")
        if self.seeds < 1 or self.seed < 0:
            raise UsageError(f"--seeds must be at least 1 and --seed at least 0; got {self.seeds} and {self.seed}")
        if self.folds is not None and not 1 <= self.folds <= MOST_FOLDS:
            raise UsageError(f"--folds takes a whole number from 1 to {MOST_FOLDS}; got {self.folds}")
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch must be at least 1; got {self.batch_size}")
        if max(self.batch_size or 1, self.steps or 0) > LARGEST:
            raise UsageError(f"--batch and --steps take {LARGEST} at most; got {self.batch_size} and {self.steps}")
        if self.steps is not None and self.steps < 0:
            raise UsageError(f"--steps must be 0 or more; got {self.steps}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(f"--lr must be positive; got {self.learning_rate}")
        if unknown := [name for name in self.dtypes if name not in DTYPES]:
            raise UsageError(f"--dtype takes {' or '.join(DTYPES)}; got {unknown[0]!r:.60}")

    def digest(self) -> str:
        """Return the same for the same settings: what `--resume` looks for."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Group(Variant):
    """The unit of a run: all backends of one (task, cell, size, dtype, threads, seed), interleaved; or all methods
    without recurrence on one (task, seed), whose sizes are 0.

    fold: of a rolling origin, from 1; None for the test part. timed: False where the one backend that takes part is to
    be checked, trained and scored alone.
    """

    seed: int
    fold: int | None = None
    timed: bool = True

    @property
    def of_baselines(self) -> bool:
        """Tell whether it is of methods without recurrence."""
        return self.hidden_size == 0

    @property
    def key(self) -> str:
        """Return a file name's worth of identity."""
        fold = "" if self.fold is None else f"_f{self.fold}"
        if self.of_baselines:
            return f"{self.task}_s{self.seed}{fold}_{BASELINES}"
        sides = "bi" if self.bidirectional else "uni"
        size = f"h{self.hidden_size}-l{self.layers}-{sides}"
        part = fold if self.timed else f"{fold}{SCORED}"
        return f"{self.task}_{self.cell}_{size}_{self.dtype}_t{self.threads}_s{self.seed}{part}"

    def model(self, task: Workload) -> Model:
        return Model(
            cell=self.cell,
            input_size=task.input_size,
            hidden_size=self.hidden_size,
            output_size=task.output_size,
            layers=self.layers,
            bidirectional=self.bidirectional,
            readout=task.readout,
            dtype=self.dtype,
        )


def training(task: Workload, settings: Settings) -> Training:
    """Return the task's budget with the settings' own choices put in: what a line under each table states."""
    budget = task.budget
    optimiser = budget.optimiser
    if settings.learning_rate is not None:
        optimiser = replace(optimiser, learning_rate=settings.learning_rate)
    return Training(
        steps=budget.steps if settings.steps is None else settings.steps,
        batch_size=settings.batch_size or budget.batch_size,
        optimiser=optimiser,
        recurrent=budget.recurrent,
        forget_bias=budget.forget_bias,
        patience=budget.patience,
    )


def groups(settings: Settings, tasks: Sequence[Workload], registry: Registry) -> Iterator[Group]:
    """Yield all groups, those of baselines first, then seeds outermost, because a seed has worker processes of its own.

    tasks: those of the settings. Raises UnknownName for a cell that nobody registered, UsageError for more groups than
    one run can hold.
    """
    cells = [registry.cell(name).id for name in settings.cells]
    each = (settings.threads, settings.dtypes, tasks, settings.layers, settings.hidden_sizes or (None,), cells)
    if (count := settings.seeds * (settings.folds or 1) * prod(map(len, each))) > MOST_GROUPS:
        raise UsageError(f"this makes {count} groups, {MOST_GROUPS} at most are taken; give fewer --seeds or sizes")
    for seed, task in () if settings.no_baselines else product(range(settings.seeds), tasks):
        if isinstance(task, Task):
            yield Group(task.id, BASELINES, 0, 0, False, "float64", 1, settings.seed + seed)
    for threads, dtype, seed in product(settings.threads, settings.dtypes, range(settings.seeds)):
        for task, layers in product(tasks, settings.layers):
            for hidden in settings.hidden_sizes or (task.budget.hidden_size,):
                for cell in cells:
                    yield Group(
                        task=task.id,
                        cell=cell,
                        hidden_size=hidden,
                        layers=layers,
                        bidirectional=settings.bidirectional,
                        dtype=dtype,
                        threads=threads,
                        seed=settings.seed + seed,
                    )
