"""One side of a gate: a process that imports the `rnnbench` of another checkout and answers over a pipe.

Run by path, never imported by name: what is measured comes from the checkout on PYTHONPATH, and what measures it (the
loop below, the clock, the memory mark) from the files beside this one. So both sides are timed by the same code even
where a commit has changed that code. Of the checkout it uses what scripts may use too: `rnnbench.Model`,
`rnnbench.session`, the registry and the training loop.
"""

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.backends.base import Session
    from rnnbench.model import Array, Model


def ours(path: str) -> Any:
    """Import a module of this checkout, whatever `rnnbench` stands for in this process. It must need nothing but the
    standard library."""
    file = Path(__file__).resolve().parent.parent / path
    spec = importlib.util.spec_from_file_location(f"gate_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def theirs(name: str, *homes: str) -> Any:
    """Return what the commit under test calls `name`, from the first of `homes` that it has: modules have moved."""
    for home in homes:
        with suppress(ModuleNotFoundError):
            return getattr(import_module(home), name)
    raise ImportError(f"none of {', '.join(homes)} is there; this commit is too old, or too new")


if TYPE_CHECKING or __name__ != "__main__":  # the gate itself, which names the actions
    from rnnbench import clock
    from rnnbench.machine import peak_memory
    from rnnbench.workers import failure, messages, serve
else:
    serve, messages, clock = ours("workers/serve.py"), ours("workers/messages.py"), ours("clock.py")
    failure, peak_memory = ours("workers/failure.py"), ours("machine/peak_memory.py")
REGISTRY = ("rnnbench.registry", "rnnbench.plugins")
TRAINING_LOOP = ("rnnbench.training_loop", "rnnbench.training")


@dataclass(frozen=True)
class Sizes:
    """Of the timed model: large enough that the kernels, not what calls them, take the time."""

    batch: int = 16
    steps: int = 32
    input_size: int = 16
    hidden_size: int = 96
    output_size: int = 4


@dataclass(frozen=True)
class ModelFacts:
    """error: against the float64 reference; None where the weights do not fit this commit. timed: the figures that this
    commit can be timed for."""

    error: messages.MaybeNaN | None
    parameters: int
    parameters_two_bias: int
    timed: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskLearned:
    """score: None where the backend does not train. better: "lower" or "higher"."""

    score: messages.MaybeNaN | None
    better: str


class CheckoutActions:
    """Actions, in the order in which they are asked for: load; then open, learn, calibrate and sample for each cell;
    then memory."""

    def load(self, cores: list[int], plugins: list[str], backend: str) -> str:
        """Import the checkout's package; return the folder that it came from."""
        serve.pin(cores)
        import rnnbench

        theirs("configure", *REGISTRY)(plugins)
        self.backend = backend
        return str(Path(rnnbench.__file__).resolve().parent)

    def open(self, cell: str, sizes: Sizes, given: str, make: bool) -> ModelFacts:
        """Make sessions for timing, call each once, and compare with the float64 reference.

        given: a file of inputs, weights and the reference's output, that the first to come makes (`make`).
        """
        import numpy as np

        import rnnbench
        from rnnbench.errors import Unsupported

        model = model_of(cell, sizes, "float32")
        if make:
            write_reference(cell, sizes, given)
        with np.load(given, allow_pickle=False) as file:
            x, target, y64 = file["x"], file["target"], file["y"]
            params = {name.removeprefix("param "): file[name] for name in file.files if name.startswith("param ")}
        own = model.init(seed=0)
        same = {name: value.shape for name, value in own.items()} == {name: v.shape for name, v in params.items()}
        params = params if same else own
        session = rnnbench.session(self.backend, model, params)
        y, _ = session.forward(x)
        self.calls: dict[str, Callable[[], object]] = {"infer": partial(session.forward, x)}
        self.parts = {"infer": 1}
        row = partial(stream, session, np.ascontiguousarray(x[:, :1]))
        with suppress(Unsupported):
            row()
            self.calls["step"], self.parts["step"] = row, sizes.steps
        if self._trains():
            learner = rnnbench.session(self.backend, model, params)
            self.calls["train"], self.parts["train"] = lambda: learner.train_step(x, target), 1
            self.calls["train"]()
        return ModelFacts(
            error=float(np.abs(y - y64).max() / np.abs(y64).max()) if same else None,
            parameters=int(model.count_parameters()),
            parameters_two_bias=int(model.count_parameters(two_bias=True)),
            timed=tuple(sorted(self.calls)),
        )

    def learn(self, cell: str, task: str, seed: int) -> TaskLearned:
        """Score a task after this commit's own budget, with its own data, optimiser and training loop."""
        import rnnbench

        cast = theirs("cast", "rnnbench.comparison.arrays", "rnnbench.measure.arrays")
        batches = theirs("batches", "rnnbench.tasks.batches", "rnnbench.training")
        train, progress = (theirs(name, *TRAINING_LOOP) for name in ("train", "Progress"))
        chosen = theirs("registry", *REGISTRY)().task(task)
        budget = chosen.budget
        if not self._trains():
            return TaskLearned(None, chosen.score_better)
        model = rnnbench.Model(
            cell=cell,
            input_size=chosen.input_size,
            hidden_size=budget.hidden_size,
            output_size=chosen.output_size,
            readout=chosen.readout,
            dtype="float32",
        )
        data = cast(chosen.data(seed), model.dtype)
        params = model.init(seed, budget.recurrent, budget.forget_bias)
        session = rnnbench.session(self.backend, model, params, loss=chosen.loss, optimiser=budget.optimiser)
        train(session, batches(data.train, budget.batch_size, seed), budget.steps, progress())
        y, _ = session.forward(data.test.x, data.test.lengths)
        assert chosen.score is not None
        return TaskLearned(float(chosen.score(y, data.test)), chosen.score_better)

    def calibrate(self, figure: str) -> clock.Calibration:
        """Find how many calls make a sample, and how long that is."""
        return clock.calibrated(self.calls[figure])

    def sample(self, figure: str, calibration: clock.Calibration) -> float:
        """Time one sample: seconds of a call, or of a step. calibration: one side's, for all."""
        return clock.sample(self.calls[figure], calibration) / self.parts[figure]

    def memory(self) -> int:
        """Read the process's peak, in bytes."""
        return peak_memory.peak_bytes()

    def _trains(self) -> bool:
        return bool(theirs("registry", *REGISTRY)().backend(self.backend).trains)


def model_of(cell: str, sizes: Sizes, dtype: str) -> "Model":
    """Return the model that is timed, as the commit under test understands it."""
    import rnnbench

    return rnnbench.Model(
        cell=cell,
        input_size=sizes.input_size,
        hidden_size=sizes.hidden_size,
        output_size=sizes.output_size,
        readout="last",
        dtype=dtype,
    )


def write_reference(cell: str, sizes: Sizes, path: str) -> None:
    """Write inputs, weights, and what the NumPy reference of this checkout gives for them in float64."""
    import numpy as np

    import rnnbench

    random = np.random.default_rng(0)
    x = random.standard_normal((sizes.steps, sizes.batch, sizes.input_size)).astype(np.float32)
    target = random.standard_normal((sizes.batch, sizes.output_size)).astype(np.float32)
    params = model_of(cell, sizes, "float32").init(seed=0)
    wide = {name: value.astype(np.float64) for name, value in params.items()}
    y, _ = rnnbench.session("numpy", model_of(cell, sizes, "float64"), wide).forward(x.astype(np.float64))
    named = {f"param {name}": value for name, value in params.items()}
    np.savez(path, allow_pickle=False, x=x, target=target, y=y, **named)


def stream(session: "Session", sequence: "Array") -> None:
    """Take every step of one row, from the start."""
    state = None
    for x_t in sequence:
        _, state = session.step(x_t, state)


if __name__ == "__main__":
    serve.serve(messages.answering(CheckoutActions()), failure.fault)
