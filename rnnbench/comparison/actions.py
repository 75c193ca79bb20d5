"""What a worker does for one case, action by action. Nothing is judged here: outputs go to the parent in files."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from rnnbench import clock
from rnnbench.backends.base import Backend, Case, Session, load_factory
from rnnbench.comparison import arrays, probes
from rnnbench.comparison import messages as m
from rnnbench.comparison.fresh_inputs import FreshInputs, stream
from rnnbench.machine import peak_memory
from rnnbench.machine.threads import ThreadReading, thread_cores, thread_use
from rnnbench.model import Array, State
from rnnbench.tasks.batches import batches
from rnnbench.tasks.spec import Split
from rnnbench.training_loop import Progress, train
from rnnbench.workers.failure import Failure

WARM_UPS = 2  # at most before a sample: nobody can count from a sample's first call to its last


class CaseActions:
    """One backend and, after `open`, one case. Its public methods are what can be asked for."""

    _now = staticmethod(perf_counter)  # of the class: whoever changes the modules' clocks later does not reach it

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads
        self.session: Session
        self._splits_of: tuple[str | None, ...] = ()

    def open(self, asked: m.CaseRequest) -> m.CaseOpened:
        """Read the arrays, make a session and call it once. Raises Failure where the backend declines the case."""
        self._cores = thread_cores()
        self.peak_is_of_case = peak_memory.reset_peak()
        self.case, self.model = asked, asked.model
        self.batch = arrays.load_split(Path(asked.files.batch))
        self._read_data(asked.files)
        case = Case(
            self.model,
            asked.batch_size,
            len(self.batch.x),
            self.threads,
            asked.training,
            lengths=self.train_split.lengths is not None,
        )
        if reason := self.backend.unsupported(case):
            raise Failure("unsupported", str(reason))
        self._compiled = self.backend.compile_report()
        self.params = arrays.load(Path(asked.files.params))
        with unchanged("the session", self.params):
            created, self.session = clock.timed(self._new_session, 1)
            called, _ = clock.timed(partial(self.session.forward, self.batch.x, self.batch.lengths), 1)
        return m.CaseOpened(created, called)

    def check(self, out: str, gradients: bool) -> None:
        """Write outputs of the batch, of the batch halved in the same memory (a result cached by the identity of its
        input shows), and gradients of the first training batch."""
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

    def check_training(self, steps: int) -> m.StepsTaken:
        """Take the first steps, and one step of each other batch size, so that what compiles has compiled."""
        progress = Progress()
        stream = self._batches()
        with unchanged("train_step", self.params):
            train(self.session, stream, steps, progress)
            odd = self.train_split.count % self.case.batch_size
            if steps and odd and self.train_split.count > self.case.batch_size:
                last = self.train_split.rows(slice(0, odd))
                self.session.train_step(last.x, last.target, last.lengths)
        return _taken(progress, sum(progress.step_seconds))

    def reset(self, params: str) -> None:
        """Make a fresh session, with parameters from a file; training starts at the first batch."""
        self.params = arrays.load(Path(params))
        self.session = self._new_session()
        self._stream = self._batches()

    def train(self, steps: int, seconds: float) -> m.StepsTaken:
        """Take up to so many steps, one at least, and no more once so many seconds have passed. Work that the last step
        has left undone is done, and counted, when the weights are read."""
        progress, data = Progress(), Stopwatch(self._stream)
        start = self._now()
        with clock.no_collection():
            while len(progress.losses) < steps and (self._now() < start + seconds or not progress.losses):
                train(self.session, data, 1, progress)
                if not np.isfinite(progress.losses[-1]):
                    break
            looped = self._now() - start - data.seconds
            waited, reading = (clock.timed(self.session.parameters, 1)[0] for _ in range(2))
        return _taken(progress, looped + max(0.0, waited - reading))

    def train_watched(self, steps: int, out: str) -> m.StepsTaken:
        """Take so many steps, and write the weights before the first and after each."""
        progress = Progress()
        found: dict[str, Array] = {}
        for number in range(steps + 1):
            found |= {f"{number} {name}": value for name, value in self._parameters().items()}
            if number < steps:
                train(self.session, self._stream, 1, progress)
        arrays.save(Path(out), found)
        return _taken(progress, sum(progress.step_seconds))

    def keep(self, out: str) -> None:
        """Write the weights of now, which `reset` takes back."""
        arrays.save(Path(out), self._parameters())

    def predict(self, which: m.PartName, out: str) -> None:
        """Write the prediction for a whole split, in batches of the one size that has compiled already."""
        split = self._splits[which]
        count, size, parts = split.count, self.case.batch_size, []
        for start in range(0, count, size):
            part = split.rows(np.arange(start, start + size) % count)
            y = part.answers(lambda each: _array("y", self.session.forward(each.x, each.lengths)[0]))
            rows = min(size, count - start)
            parts.append(np.array(y[:, :rows] if self.model.readout == "all" else y[:rows]))
        arrays.save(Path(out), {"y": np.concatenate(parts, axis=1 if self.model.readout == "all" else 0)})

    def verify(self, out: str) -> str | None:
        """Write outputs with the weights that will be timed, those weights, and the outputs of single steps. Return why
        single steps cannot run, or None."""
        found = _named_outputs("", self._forward(self.batch.x, self.batch.lengths))
        found |= {f"parameter {name}": value for name, value in self._parameters().items()}
        reason = self.backend.unsupported(Case(self.model, 1, 1, self.threads, streaming=True))
        if reason is None:
            found["steps"] = self._steps()
        arrays.save(Path(out), found)
        return None if reason is None else str(reason)

    def calibrate(self) -> clock.Calibration:
        """Find how many calls make a sample, and how long that is."""
        self._inputs = FreshInputs(self.batch)
        self._inputs.renew(0)
        self._call()(self._inputs.x)
        self.calibration = clock.calibrated_by(self.time_calls)
        return self.calibration

    def probe(self) -> m.ProbeSeconds:
        """Time single calls on inputs that a benchmark would never give."""
        return probes.probe(lambda x: self.session.forward(x, self.batch.lengths), self.batch.x)

    def sample(self, seed: int) -> m.Sample:
        """Time one sample on the inputs of a seed, watch the threads meanwhile, and keep what the last call gave.

        What the sample before gave is let go first: while it is held, calls have to write to memory that was never
        touched. What this one gave is copied at once, but with the clock stopped: a copy of 1.6 MB made a call of 3 ms
        look 15 % longer. Who has work left then can hide as much of it as the copy takes.
        """
        self._timed: dict[str, Array] = {}
        self._inputs.renew(seed)
        call, windows = self._call(), self._inputs.windows(self.calibration.calls)
        for number in range(1 + seed % WARM_UPS):
            clock.warm_up(partial(call, windows.other(number)), self.calibration)
        before = ThreadReading.now()
        seconds, outputs = clock.timed_on(call, windows)
        self._timed = _named_outputs("", outputs)
        after = ThreadReading.now()
        used = thread_use(before, after)
        strayed = sorted(after.cores - self._cores)
        return m.Sample(seconds / self.calibration.calls, used.threads, used.waiting, strayed)

    def time_calls(self, calls: int) -> float:
        """Return the seconds that so many calls take, one after the other."""
        return clock.timed_on(self._call(), self._inputs.windows(calls))[0]

    def timed_outputs(self, out: str) -> None:
        """Write what the last call of the last sample gave."""
        arrays.save(Path(out), self._timed)

    def time_steps(self, count: int, seconds: float, seed: int, out: str) -> m.StepSeconds:
        """Time single steps of one row, each alone; fewer than `count` when so many seconds have passed. Write the
        outputs of every pass, [T, 1, O]: whichever is looked at, the timed steps gave them."""
        row = self._first_row()
        passes: dict[str, Array] = {}
        self._steps()
        first: list[int] = []
        later: list[int] = []
        end = self._now() + seconds
        with clock.no_collection():
            while len(later) < count and (self._now() < end or not passes):
                outputs: list[Array] = []
                keep = partial(_keep_output, outputs)
                taken = clock.timed_steps(self.session.step, stream(row, seed, len(passes), m.STREAM_STEPS), keep)
                first.append(taken[0])
                later += taken[1:]
                passes[str(len(passes))] = np.stack(outputs)
        arrays.save(Path(out), passes)
        return m.StepSeconds([value / 1e9 for value in first], [value / 1e9 for value in later], len(passes))

    def close(self) -> m.CaseClosed:
        """Return what the whole case took, and let go of it."""
        peak = peak_memory.peak_bytes()
        report, before = self.backend.compile_report(), self._compiled
        spent = None if report is None else float(report.seconds - (before.seconds if before else 0.0))
        del self.session
        return m.CaseClosed(peak, self.peak_is_of_case, spent, report.cache if report else None)

    def measure_peak(self, factory: str, dtype: str) -> float:
        """Measure the machine's operations per second, here because threads and affinity are right here. factory:
        import path of what measures them, from a dtype and a number of threads."""
        return float(load_factory(factory)(dtype, self.threads))

    def _new_session(self) -> Session:
        return self.backend.session(self.model, self.params, self.case.loss, self.case.optimiser)

    def _read_data(self, files: m.CasePaths) -> None:
        """Read the splits, unless they are those of the case before: the cells of a task share them."""
        paths = files.train, files.test, files.validation
        if paths != self._splits_of:
            self.train_split = arrays.load_split(Path(files.train))
            self._splits: dict[m.PartName, Split] = {"test": arrays.load_split(Path(files.test))}
            if files.validation is not None:
                self._splits["validation"] = arrays.load_split(Path(files.validation))
            self._splits_of = paths

    def _parameters(self) -> dict[str, Array]:
        return {name: _array(name, value) for name, value in self.session.parameters().items()}

    def _batches(self) -> Iterator[Split]:
        return batches(self.train_split, self.case.batch_size, self.case.seed)

    def _forward(self, x: Array, lengths: Array | None) -> tuple[Array, State]:
        """Call the session, which must leave x, lengths and weights as they are."""
        given = {"x": x, **({} if lengths is None else {"lengths": lengths}), **self.params}
        with unchanged("forward", given):
            return self.session.forward(x, lengths)

    def _call(self) -> Callable[[Array], tuple[Array, State]]:
        """Return forward with the lengths of now."""
        forward, lengths = self.session.forward, self._inputs.lengths
        return forward if lengths is None else lambda x: forward(x, lengths)

    def _first_row(self) -> Array:
        """Return the valid steps of the batch's first row, [T, 1, I]."""
        length = len(self.batch.x) if self.batch.lengths is None else int(self.batch.lengths[0])
        return np.ascontiguousarray(self.batch.x[:length, :1])

    def _steps(self) -> Array:
        """Return the outputs of single steps along the first row: of all [T, 1, O], or of the last alone [1, O]."""
        state, outputs = None, []
        for x_t in self._first_row():
            y, state = self.session.step(x_t, state)
            outputs.append(_output("y of step", y))
        return np.stack(outputs) if self.model.readout == "all" else outputs[-1]


class Stopwatch:
    """An iterator that knows how long it has taken to give its items."""

    _now = staticmethod(perf_counter)

    def __init__(self, items: Iterator[Split]) -> None:
        self._items, self.seconds = items, 0.0

    def __iter__(self) -> "Stopwatch":
        return self

    def __next__(self) -> Split:
        start = self._now()
        item = next(self._items)
        self.seconds += self._now() - start
        return item


@contextmanager
def unchanged(who: str, given: Mapping[str, Array]) -> Iterator[None]:
    """Raise Failure where an array is not, bit for bit, what it was: NaN in the padding must stay NaN."""
    before = {name: array.tobytes() for name, array in given.items()}
    yield
    for name, array in given.items():
        if array.tobytes() != before[name]:
            raise Failure("mismatch", f"{who} changed its input {name}; inputs are not a backend's to write to")


def _named_outputs(prefix: str, outputs: tuple[Array, State]) -> dict[str, Array]:
    """Return copies of the outputs by name. Raises Failure for what is no array of numbers."""
    y, state = outputs
    named = {f"{prefix}state {number}": _output("state", value) for number, value in enumerate(state)}
    return {f"{prefix}y": _output("y", y), **named}


def _keep_output(outputs: list[Array], y: Array) -> None:
    outputs.append(_output("y of step", y))


def _output(name: str, value: object) -> Array:
    """Return a copy of what a timed call gives. Raises Failure for a view too: whoever reads it pays for the rest."""
    if isinstance(value, np.ndarray) and not value.flags.c_contiguous:
        raise Failure("bad_output", f"gave {name} as a view of other memory; it must lie there in C order")
    return _array(name, value)


def _array(name: str, value: object) -> Array:
    """Return a copy: a session may use its memory again. Raises Failure for what is no plain array of numbers: one of
    a kind of its own may be worked out when it is looked at."""
    if type(value) is not np.ndarray:
        raise Failure("bad_output", f"gave {name} as {type(value).__name__}; it must be a plain NumPy array")
    if value.dtype.kind not in "fiu":
        raise Failure("bad_output", f"gave {name} as {value.dtype}; it must hold real numbers")
    return value.copy()


def _taken(progress: Progress, loop_seconds: float) -> m.StepsTaken:
    """Return what training has done. Raises Failure where a loss is no number."""
    try:
        losses = [float(loss) for loss in progress.losses]
    except (TypeError, ValueError):
        raise Failure(
            "bad_output", f"gave a loss as {type(progress.losses[-1]).__name__}; it must be a number"
        ) from None
    return m.StepsTaken(losses, progress.step_seconds, loop_seconds)
