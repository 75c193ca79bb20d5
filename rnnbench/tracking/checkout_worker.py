"""One side of a gate: a process that imports the `rnnbench` of another checkout and answers over a pipe.

Run by path, never imported by name: what is measured comes from the checkout on PYTHONPATH, and what measures it (the
loop below, the clock, the memory mark) from the files beside this one. So both sides are timed by the same code even
where a commit has changed that code. Of the checkout it uses what scripts may use too: `rnnbench.Model`,
`rnnbench.session`, the registry and the training loop.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Reply = dict[str, Any]


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
        if find_spec(home):
            return getattr(import_module(home), name)
    raise ImportError(f"none of {', '.join(homes)} is there; this commit is too old, or too new")


serve, clock, peak_memory = ours("workers/serve.py"), ours("clock.py"), ours("machine/peak_memory.py")
REGISTRY = ("rnnbench.registry", "rnnbench.plugins")


class SideWork:
    """Actions, in the order in which they are asked for: load; then open, learn, calibrate and time for each cell;
    then memory."""

    def actions(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("load", "open", "learn", "calibrate", "time", "memory")}

    def load(self, cores: list[int], plugins: list[str], backend: str) -> Reply:
        """Imports the checkout's package, and says where it came from."""
        serve.pin(cores)
        import rnnbench

        theirs("configure", *REGISTRY)(plugins)
        self.backend = backend
        return {"package": str(Path(rnnbench.__file__).resolve().parent)}

    def open(self, cell: str, sizes: Reply, given: str, make: bool) -> Reply:
        """Sessions for timing, each called once; the error against the float64 reference, and the parameter counts.

        sizes: batch, steps, input_size, hidden_size, output_size. given: a file of inputs, weights and the reference's
        output, that the first to come makes (`make`). The error is None where the weights do not fit this commit.
        """
        import numpy as np

        import rnnbench

        batch, steps = sizes["batch"], sizes["steps"]
        shape = {name: sizes[name] for name in ("input_size", "hidden_size", "output_size")}
        model = rnnbench.Model(cell=cell, readout="last", dtype="float32", **shape)
        if make:
            self._make(Path(given), cell, shape, batch, steps)
        with np.load(given, allow_pickle=False) as file:
            x, target, y64 = file["x"], file["target"], file["y"]
            params = {name.removeprefix("param "): file[name] for name in file.files if name.startswith("param ")}
        own = model.init(seed=0)
        same = {name: value.shape for name, value in own.items()} == {name: v.shape for name, v in params.items()}
        params = params if same else own
        session = rnnbench.session(self.backend, model, params)
        y, _ = session.forward(x)
        self.calls: dict[str, Callable[[], Any]] = {"infer": partial(session.forward, x)}
        self.parts = {"infer": 1}
        if runs(row := partial(stream, session, np.ascontiguousarray(x[:, :1]))):
            self.calls["step"], self.parts["step"] = row, steps
        if self._trains():
            learner = rnnbench.session(self.backend, model, params)
            self.calls["train"], self.parts["train"] = lambda: learner.train_step(x, target), 1
            self.calls["train"]()
        return {
            "error": float(np.abs(y - y64).max() / np.abs(y64).max()) if same else None,
            "parameters": int(model.count_parameters()),
            "parameters_two_bias": int(model.count_parameters(two_bias=True)),
            "timed": sorted(self.calls),
        }

    def learn(self, cell: str, task: str, seed: int) -> Reply:
        """The task's score after this commit's own budget, with its own data, optimiser and training loop."""
        import rnnbench

        cast = theirs("cast", "rnnbench.comparison.arrays", "rnnbench.measure.arrays")
        batches = theirs("batches", "rnnbench.tasks.batches", "rnnbench.training")
        train, progress = (
            theirs(name, "rnnbench.training_loop", "rnnbench.training") for name in ("train", "Progress")
        )
        chosen = theirs("registry", *REGISTRY)().task(task)
        budget = chosen.budget
        if not self._trains():
            return {"score": None, "better": chosen.score_better}
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
        return {"score": float(chosen.score(y, data.test)), "better": chosen.score_better}

    def calibrate(self, figure: str) -> Reply:
        return {"calls": clock.calibrated(self.calls[figure])}

    def time(self, figure: str, calls: int) -> Reply:
        """One sample: seconds of a call. A call first, untimed, where calls are short: others have had the caches
        meanwhile."""
        call = self.calls[figure]
        if calls > 1:
            call()
        seconds, _ = clock.timed(call, calls)
        return {"seconds": seconds / calls / self.parts[figure]}

    def memory(self) -> Reply:
        return {"bytes": peak_memory.peak_bytes()}

    def _make(self, path: Path, cell: str, shape: Reply, batch: int, steps: int) -> None:
        """Inputs, weights, and what the NumPy reference of this checkout gives for them in float64."""
        import numpy as np

        import rnnbench

        random = np.random.default_rng(0)
        x = random.standard_normal((steps, batch, shape["input_size"])).astype(np.float32)
        target = random.standard_normal((batch, shape["output_size"])).astype(np.float32)
        params = rnnbench.Model(cell=cell, readout="last", dtype="float32", **shape).init(seed=0)
        exact = rnnbench.Model(cell=cell, readout="last", dtype="float64", **shape)
        wide = {name: value.astype(np.float64) for name, value in params.items()}
        y, _ = rnnbench.session("numpy", exact, wide).forward(x.astype(np.float64))
        named = {f"param {name}": value for name, value in params.items()}
        np.savez(path, allow_pickle=False, x=x, target=target, y=y, **named)

    def _trains(self) -> bool:
        return bool(theirs("registry", *REGISTRY)().backend(self.backend).trains)


def runs(call: Any) -> bool:
    """False for what this runtime cannot do, such as single steps."""
    from rnnbench.errors import Unsupported

    try:
        call()
    except Unsupported:
        return False
    return True


def stream(session: Any, sequence: Any) -> None:
    """Every step of one row, from the start."""
    state = None
    for x_t in sequence:
        _, state = session.step(x_t, state)


if __name__ == "__main__":
    serve.serve(SideWork().actions())
