"""One side of a gate: a process that imports the `rnnbench` of another checkout and answers over a pipe.

Run by path, never imported by name: what is measured comes from the checkout on PYTHONPATH, and what measures it (the
loop below, the clock, the memory mark) from the files beside this one. So both sides are timed by the same code even
where a commit has changed that code. Of the checkout it uses what scripts may use too: `rnnbench.Model`,
`rnnbench.session`, the registry and the training loop.
"""

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench import clock
    from rnnbench.backends.base import Session
    from rnnbench.machine import peak_memory
    from rnnbench.model import Array, Model
    from rnnbench.tracking import ab_messages as m
    from rnnbench.workers import failure, messages, serve


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


if not TYPE_CHECKING:
    serve, messages, clock = ours("workers/serve.py"), ours("workers/messages.py"), ours("clock.py")
    failure, peak_memory = ours("workers/failure.py"), ours("machine/peak_memory.py")
    m = ours("tracking/ab_messages.py")
REGISTRY = ("rnnbench.registry", "rnnbench.plugins")


class CheckoutActions:
    """Actions, in the order in which they are asked for: load; then open, learn, calibrate and sample for each cell;
    then memory."""

    def actions(self) -> tuple[Callable[..., messages.Message], ...]:
        """Return what can be asked for; the request of each is its argument's class."""
        return self.load, self.open, self.learn, self.calibrate, self.sample, self.memory

    def load(self, asked: m.LoadCheckout) -> m.CheckoutLoaded:
        """Import the checkout's package, and say where it came from."""
        serve.pin(asked.cores)
        import rnnbench

        theirs("configure", *REGISTRY)(asked.plugins)
        self.backend = asked.backend
        return m.CheckoutLoaded(str(Path(rnnbench.__file__).resolve().parent))

    def open(self, asked: m.OpenModel) -> m.ModelFacts:
        """Make sessions for timing, call each once, and compare with the float64 reference."""
        import numpy as np

        import rnnbench

        model = model_of(asked, "float32")
        if asked.make:
            make(asked)
        with np.load(asked.given, allow_pickle=False) as file:
            x, target, y64 = file["x"], file["target"], file["y"]
            params = {name.removeprefix("param "): file[name] for name in file.files if name.startswith("param ")}
        own = model.init(seed=0)
        same = {name: value.shape for name, value in own.items()} == {name: v.shape for name, v in params.items()}
        params = params if same else own
        session = rnnbench.session(self.backend, model, params)
        y, _ = session.forward(x)
        self.calls: dict[str, Callable[[], object]] = {"infer": partial(session.forward, x)}
        self.parts = {"infer": 1}
        if runs(row := partial(stream, session, np.ascontiguousarray(x[:, :1]))):
            self.calls["step"], self.parts["step"] = row, asked.sizes.steps
        if self._trains():
            learner = rnnbench.session(self.backend, model, params)
            self.calls["train"], self.parts["train"] = lambda: learner.train_step(x, target), 1
            self.calls["train"]()
        return m.ModelFacts(
            error=float(np.abs(y - y64).max() / np.abs(y64).max()) if same else None,
            parameters=int(model.count_parameters()),
            parameters_two_bias=int(model.count_parameters(two_bias=True)),
            timed=sorted(self.calls),
        )

    def learn(self, asked: m.LearnTask) -> m.TaskLearned:
        """Score a task after this commit's own budget, with its own data, optimiser and training loop."""
        import rnnbench

        cast = theirs("cast", "rnnbench.comparison.arrays", "rnnbench.measure.arrays")
        batches = theirs("batches", "rnnbench.tasks.batches", "rnnbench.training")
        train, progress = (
            theirs(name, "rnnbench.training_loop", "rnnbench.training") for name in ("train", "Progress")
        )
        chosen = theirs("registry", *REGISTRY)().task(asked.task)
        budget = chosen.budget
        if not self._trains():
            return m.TaskLearned(None, chosen.score_better)
        model = rnnbench.Model(
            cell=asked.cell,
            input_size=chosen.input_size,
            hidden_size=budget.hidden_size,
            output_size=chosen.output_size,
            readout=chosen.readout,
            dtype="float32",
        )
        data = cast(chosen.data(asked.seed), model.dtype)
        params = model.init(asked.seed, budget.recurrent, budget.forget_bias)
        session = rnnbench.session(self.backend, model, params, loss=chosen.loss, optimiser=budget.optimiser)
        train(session, batches(data.train, budget.batch_size, asked.seed), budget.steps, progress())
        y, _ = session.forward(data.test.x, data.test.lengths)
        assert chosen.score is not None
        return m.TaskLearned(float(chosen.score(y, data.test)), chosen.score_better)

    def calibrate(self, asked: m.CalibrateFigure) -> m.FigureCalibrated:
        """Find how many calls make a sample, and how long that is."""
        found = clock.calibrated(self.calls[asked.figure])
        return m.FigureCalibrated(found.calls, found.seconds)

    def sample(self, asked: m.TimeFigure) -> m.FigureSample:
        """Time one sample: seconds of a call, or of a step."""
        calibration = clock.Calibration(asked.calibration.calls, asked.calibration.seconds)
        return m.FigureSample(clock.sample(self.calls[asked.figure], calibration) / self.parts[asked.figure])

    def memory(self, _: m.ReadMemory) -> m.MemoryPeak:
        """Read the process's peak."""
        return m.MemoryPeak(peak_memory.peak_bytes())

    def _trains(self) -> bool:
        return bool(theirs("registry", *REGISTRY)().backend(self.backend).trains)


def model_of(asked: m.OpenModel, dtype: str) -> "Model":
    """Return the model that a request names, as the commit under test understands it."""
    import rnnbench

    return rnnbench.Model(
        cell=asked.cell,
        input_size=asked.sizes.input_size,
        hidden_size=asked.sizes.hidden_size,
        output_size=asked.sizes.output_size,
        readout="last",
        dtype=dtype,
    )


def make(asked: m.OpenModel) -> None:
    """Write inputs, weights, and what the NumPy reference of this checkout gives for them in float64."""
    import numpy as np

    import rnnbench

    random, sizes = np.random.default_rng(0), asked.sizes
    x = random.standard_normal((sizes.steps, sizes.batch, sizes.input_size)).astype(np.float32)
    target = random.standard_normal((sizes.batch, sizes.output_size)).astype(np.float32)
    params = model_of(asked, "float32").init(seed=0)
    wide = {name: value.astype(np.float64) for name, value in params.items()}
    y, _ = rnnbench.session("numpy", model_of(asked, "float64"), wide).forward(x.astype(np.float64))
    named = {f"param {name}": value for name, value in params.items()}
    np.savez(asked.given, allow_pickle=False, x=x, target=target, y=y, **named)


def runs(call: Callable[[], object]) -> bool:
    """Call it; return False for what this runtime cannot do, such as single steps."""
    from rnnbench.errors import Unsupported

    try:
        call()
    except Unsupported:
        return False
    return True


def stream(session: "Session", sequence: "Array") -> None:
    """Take every step of one row, from the start."""
    state = None
    for x_t in sequence:
        _, state = session.step(x_t, state)


if __name__ == "__main__":
    serve.serve(messages.answering(CheckoutActions().actions()), failure.fault)
