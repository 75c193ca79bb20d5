"""What a worker does for one case, action by action. Nothing is judged here: outputs go to the parent in files."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from rnnbench import clock
from rnnbench.backends.base import Backend, Case, Session, load_factory
from rnnbench.comparison import arrays, probes
from rnnbench.machine import peak_memory
from rnnbench.machine.threads import ThreadReading, runnable
from rnnbench.model import Array, Model
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training import Adam
from rnnbench.training_loop import Progress, train
from rnnbench.verify import parity
from rnnbench.workers.failure import Failure

Reply = dict[str, Any]
LONG_SAMPLE = 0.05  # seconds


class CaseActions:
    """One backend and, after `open`, one case."""

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads
        self.session: Session
        self._data_path = ""

    def actions(self) -> dict[str, Callable[..., Reply]]:
        names = "describe open check check_training reset train predict verify calibrate probe time latency close peak"
        return {name: getattr(self, name) for name in names.split()}

    def describe(self) -> Reply:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return {"version": str(self.backend.version), "cores": cores}

    def open(
        self, model: Reply, batch_size: int, training: bool, loss: str, optimiser: Reply, seed: int, files: Reply
    ) -> Reply:
        """files: paths of "params", "batch" (the one that is timed), "train" and "test"."""
        self.peak_is_of_case = peak_memory.reset_peak()
        self.model, self.loss, self.optimiser = Model(**model), loss, Adam(**optimiser)
        self.batch_size, self.seed = batch_size, seed
        self.batch = arrays.load_split(Path(files["batch"]))
        self._read_data(files)
        case = Case(
            self.model,
            batch_size,
            len(self.batch.x),
            self.threads,
            training,
            lengths=self.train_split.lengths is not None,
        )
        if reason := self.backend.unsupported(case):
            raise Failure("unsupported", str(reason))
        self._compiled = self.backend.compile_report()
        self.params = arrays.load(Path(files["params"]))
        with unchanged("the session", self.params):
            start = perf_counter()
            self.session = self._new_session()
            created = perf_counter()
            self.session.forward(self.batch.x, self.batch.lengths)
            called = perf_counter()
        return {"session_seconds": created - start, "first_call_seconds": called - created}

    def check(self, out: str, gradients: bool) -> Reply:
        """Outputs for the parent to compare: of the batch, of the batch halved in the same memory (a result cached by
        the identity of its input shows), and gradients of the first training batch."""
        x, lengths = self.batch.x, self.batch.lengths
        original = x.copy()
        found = _named_outputs("", self._forward(x, lengths))
        x *= x.dtype.type(0.5)
        found |= _named_outputs("halved ", self._forward(x, lengths))
        x[:] = original
        if gradients:
            first = next(self._batches())
            with unchanged("gradients", {"x": first.x, "target": first.target, **self.params}):
                _, named = self.session.gradients(first.x, first.target, first.lengths)
            found |= {f"gradient of {name}": _array(f"gradient of {name}", value) for name, value in named.items()}
        arrays.save(Path(out), found)
        return {}

    def check_training(self, steps: int) -> Reply:
        """The losses of the first steps; and one step of each other batch size, so that what compiles has compiled."""
        progress = Progress()
        stream = self._batches()
        with unchanged("train_step", self.params):
            train(self.session, stream, steps, progress)
            odd = self.train_split.count % self.batch_size
            if steps and odd and self.train_split.count > self.batch_size:
                last = self.train_split.rows(slice(0, odd))
                self.session.train_step(last.x, last.target, last.lengths)
        return {"losses": [_number(loss) for loss in progress.losses]}

    def reset(self, params: str) -> Reply:
        """A fresh session, with parameters from a file; training starts at the first batch."""
        self.params = arrays.load(Path(params))
        self.session = self._new_session()
        self._stream = self._batches()
        return {}

    def train(self, steps: int, seconds: float) -> Reply:
        """Up to so many steps, and no more once so many seconds have passed. loop_seconds: what all of it took, but
        for making the batches."""
        progress, stream = Progress(), Stopwatch(self._stream)
        start = perf_counter()
        with clock.no_collection():
            while len(progress.losses) < steps and (perf_counter() < start + seconds or not progress.losses):
                train(self.session, stream, 1, progress)
                if not np.isfinite(progress.losses[-1]):
                    break
        loop = perf_counter() - start - stream.seconds
        losses = [_number(loss) for loss in progress.losses]
        return {"losses": losses, "seconds": progress.step_seconds, "loop_seconds": loop}

    def predict(self, out: str) -> Reply:
        """The prediction for the whole test split, in batches of the one size that has compiled already."""
        count, parts = self.test_split.count, []
        for start in range(0, count, self.batch_size):
            index = np.arange(start, start + self.batch_size)
            part = self.test_split.rows(index % count)
            y, _ = self.session.forward(part.x, part.lengths)
            rows = min(self.batch_size, count - start)
            y = _array("y", y)
            parts.append(np.array(y[:, :rows] if self.model.readout == "all" else y[:rows]))
        arrays.save(Path(out), {"y": np.concatenate(parts, axis=1 if self.model.readout == "all" else 0)})
        return {}

    def verify(self, out: str) -> Reply:
        """Outputs with the weights that will be timed, those weights, and the outputs of single steps."""
        found = _named_outputs("", self._forward(self.batch.x, self.batch.lengths))
        self.checked = dict(found)
        found |= {f"parameter {name}": _array(name, value) for name, value in self.session.parameters().items()}
        reason = self._streaming_reason()
        if reason is None:
            found["steps"] = self._steps()
        arrays.save(Path(out), found)
        return {"streaming": reason}

    def calibrate(self) -> Reply:
        """How many calls make a sample, and how long that is."""
        self._call = partial(self.session.forward, self.batch.x, self.batch.lengths)
        self._call()
        self.calls = clock.calibrated(self._call)
        self.sample_seconds = clock.timed(self._call, self.calls)[0]
        return {"calls": self.calls, "seconds": self.sample_seconds}

    def probe(self) -> Reply:
        return dict(probes.probe(lambda x: self.session.forward(x, self.batch.lengths), self.batch.x))

    def time(self) -> Reply:
        """One sample: seconds of a call, how many threads wanted to run, and how far the last outputs are from the
        checked ones. A call first, untimed, unless it is so long that it does not matter: others have had the caches
        meanwhile, and a call of 6 ms took 4 to 9 % longer than the next."""
        if self.sample_seconds < LONG_SAMPLE:
            self._call()
        before = ThreadReading.now()
        seconds, outputs = clock.timed(self._call, self.calls)
        after = ThreadReading.now()
        found = _named_outputs("", outputs)
        drift = None
        if parity.malformed(found, self.checked, self.model.dtype) is None:
            wide = {name: value.astype(np.float64) for name, value in self.checked.items()}
            drift = parity.deviation(found, wide).error
        return {"seconds": seconds / self.calls, "threads": runnable(before, after), "drift": drift}

    def latency(self, count: int, seconds: float) -> Reply:
        """Seconds of single steps of one row, each timed alone; fewer than `count` when `seconds` have passed."""
        sequence = self._first_row()
        self._steps()
        taken: list[int] = []
        end = monotonic() + seconds
        with clock.no_collection():
            while len(taken) < count and (monotonic() < end or not taken):
                state = None
                for x_t in sequence:
                    start = perf_counter_ns()
                    _, state = self.session.step(x_t, state)
                    taken.append(perf_counter_ns() - start)
        return {"seconds": [value / 1e9 for value in taken[:count]]}

    def close(self) -> Reply:
        """What the whole case took. Lets go of it."""
        peak = peak_memory.peak_bytes()
        report, before = self.backend.compile_report(), self._compiled
        spent = None if report is None else report.seconds - (before.seconds if before else 0.0)
        del self.session
        return {
            "peak_rss_bytes": peak,
            "peak_is_of_case": self.peak_is_of_case,
            "compile_seconds": spent,
            "compile_cache": report.cache if report else None,
        }

    def peak(self, factory: str, dtype: str) -> Reply:
        """The machine's floating-point peak, measured here because threads and affinity are right here."""
        return {"flops_per_second": float(load_factory(factory)(dtype, self.threads))}

    def _new_session(self) -> Session:
        return self.backend.session(self.model, self.params, self.loss, self.optimiser)

    def _read_data(self, files: Reply) -> None:
        """The splits, unless they are those of the case before: the cells of a task share them."""
        paths = f"{files['train']} {files['test']}"
        if paths != self._data_path:
            self.train_split = arrays.load_split(Path(files["train"]))
            self.test_split = arrays.load_split(Path(files["test"]))
            self._data_path = paths

    def _batches(self) -> Iterator[Split]:
        return batches(self.train_split, self.batch_size, self.seed)

    def _forward(self, x: Array, lengths: Array | None) -> tuple[Any, Any]:
        given = {"x": x, **({} if lengths is None else {"lengths": lengths}), **self.params}
        with unchanged("forward", given):
            return self.session.forward(x, lengths)

    def _first_row(self) -> Array:
        """The valid steps of the batch's first row, [T, 1, I]."""
        length = len(self.batch.x) if self.batch.lengths is None else int(self.batch.lengths[0])
        return np.ascontiguousarray(self.batch.x[:length, :1])

    def _streaming_reason(self) -> str | None:
        """Why single steps cannot run, or None."""
        case = Case(self.model, 1, 1, self.threads, streaming=True)
        return self.backend.unsupported(case)

    def _steps(self) -> Array:
        """The outputs of single steps along the first row: of all [T, 1, O], or of the last alone [1, O]."""
        state, outputs = None, []
        for x_t in self._first_row():
            y, state = self.session.step(x_t, state)
            outputs.append(_array("y of step", y))
        return np.stack(outputs) if self.model.readout == "all" else outputs[-1]


class Stopwatch:
    """An iterator that knows how long it has taken to give its items."""

    def __init__(self, items: Iterator[Split]) -> None:
        self._items, self.seconds = items, 0.0

    def __iter__(self) -> "Stopwatch":
        return self

    def __next__(self) -> Split:
        start = perf_counter()
        item = next(self._items)
        self.seconds += perf_counter() - start
        return item


@contextmanager
def unchanged(who: str, given: Mapping[str, Array]) -> Iterator[None]:
    """Raises Failure where an array is not, bit for bit, what it was: NaN in the padding must stay NaN."""
    before = {name: array.tobytes() for name, array in given.items()}
    yield
    for name, array in given.items():
        if array.tobytes() != before[name]:
            raise Failure("mismatch", f"{who} changed its input {name}; inputs are not a backend's to write to")


def _named_outputs(prefix: str, outputs: tuple[Any, Any]) -> dict[str, Array]:
    y, state = outputs
    named = {f"{prefix}state {number}": _array("state", value) for number, value in enumerate(state)}
    return {f"{prefix}y": _array("y", y), **named}


def _array(name: str, value: Any) -> Array:
    """A copy: a session may use its memory again."""
    if not isinstance(value, np.ndarray):
        raise Failure("bad_output", f"gave {name} as {type(value).__name__}; it must be a NumPy array")
    if value.dtype.kind not in "fiu":
        raise Failure("bad_output", f"gave {name} as {value.dtype}; it must hold real numbers")
    return value.copy()


def _number(loss: Any) -> float:
    try:
        return float(loss)
    except (TypeError, ValueError):
        raise Failure("bad_output", f"gave a loss as {type(loss).__name__}; it must be a number") from None
