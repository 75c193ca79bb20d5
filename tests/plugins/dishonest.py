"""Backends that gain by a lie, each plausible by accident: a cache, a thread left running, a rounded weight.

Each wraps the NumPy reference, is right else, and comes in several strengths, from the boldest lie to the smallest.
What it reports as seconds of compiling is the share of its work that it left out, in thousandths: so a lie that never
came to anything can be told from one that went unnoticed.
"""

import hashlib
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import Pipe

import numpy as np

from rnnbench import BackendInfo, Budget, CompileReport, Data, Split, Task, hookimpl
from rnnbench.backends.numpy_reference import NumpyBackend, NumpySession
from rnnbench.training import loss_and_gradient

LATE = 100  # calls of a session, or steps in single: more than checking and twenty evaluations make
CHECKED_STEPS = 10  # of training, which are compared with the reference's one by one
STEPS = 80
BATCH = 16
TEST_ROWS = 3 * BATCH
MEGABYTES = bytes(2_000_000)


# ---- the tasks -------------------------------------------------------------------------------------------------------


def _data(seed, ragged):
    rng = np.random.default_rng(seed)
    return Data(_split(rng, 10 * BATCH + 5, ragged), _split(rng, TEST_ROWS, ragged))


def _split(rng, count, ragged):
    x = rng.standard_normal((12, count, 2))
    lengths = rng.integers(3, 13, count) if ragged else None
    valid = np.arange(12)[:, None] < (12 if lengths is None else lengths)
    return Split(x, np.tanh((x[:, :, :1] * valid[:, :, None]).sum(axis=0)), lengths)


SUM = Task(
    id="sum",
    title="The sum of twelve numbers",
    source="made up",
    input_size=2,
    output_size=1,
    readout="last",
    loss="mse",
    score_name="test MSE",
    score_better="lower",
    baseline=100.0,  # so bad that everybody learns it at once
    margin=1.0,
    budget=Budget(steps=STEPS, batch_size=BATCH, hidden_size=8),
    data=lambda seed: _data(seed, ragged=False),
    score=lambda prediction, test: float(np.mean((prediction - test.target) ** 2)),
)
RAGGED = replace(SUM, id="ragged-sum", data=lambda seed: _data(seed, ragged=True))


@hookimpl
def rnnbench_tasks():
    return [SUM, RAGGED]


# ---- what all of them share ------------------------------------------------------------------------------------------


class Work:
    """What this process was asked for, and what share of it was left out."""

    asked = left_out = 0.0


def note(left_out):
    Work.asked += 1
    Work.left_out += left_out


class Right(NumpySession):
    """The reference. calls: of forward, in this session, without a state. strength: of the lie that a subclass adds."""

    strength = None
    calls = trained = 0

    def right(self, x, lengths=None, state=None):
        return NumpySession.forward(self, x, lengths, state)

    def loss_of(self, x, target, lengths):
        return loss_and_gradient(self.loss, self.right(x, lengths)[0], target, lengths)[0]


class Dishonest(NumpyBackend):
    session_class = Right

    def session(self, model, params, loss="mse", optimiser=None):
        return self.session_class(model, params, loss, optimiser)

    def compile_report(self):
        return CompileReport(1e-3 * Work.left_out / max(Work.asked, 1), "warm")


def backend(session, strength):
    """A factory of backends whose sessions tell this lie in this strength."""
    kind = type(session.__name__, (session,), {"strength": strength})
    return lambda threads: type("Made", (Dishonest,), {"session_class": kind})(threads)


# ---- inference -------------------------------------------------------------------------------------------------------


class KeptByContent(Right):
    """From the so-many-th identical call on."""

    def forward(self, x, lengths=None, state=None):
        if state is not None:
            return self.right(x, lengths, state)
        self.known, self.calls = getattr(self, "known", {}), self.calls + 1
        key = x.tobytes(), None if lengths is None else lengths.tobytes()
        count, kept = self.known.get(key, (0, None))
        if self.calls > LATE:
            note(count >= self.strength)
        if count < self.strength:
            kept = self.right(x, lengths)
            self.known[key] = count + 1, kept
        return kept

    def train_step(self, x, target, lengths=None):
        self.known = {}
        return super().train_step(x, target, lengths)


class Late(Right):
    """Lies from its so-many-th call on, when all that is checked before timing has been."""

    def forward(self, x, lengths=None, state=None):
        if state is not None or x.shape[1] == 1:
            return self.right(x, lengths, state)
        self.calls += 1
        return self.lie(x, lengths) if self.calls > LATE else self.remember(x, self.right(x, lengths))

    def remember(self, x, result):
        self.before = x.copy(), result
        return result


class KeptByIdentity(Late):
    """By what the input's identity is made of: the object, or its memory."""

    def lie(self, x, lengths):
        by_object = self.strength == "object"
        key = id(x) if by_object else (x.ctypes.data, x.shape)
        self.known = getattr(self, "known", {})
        note(key in self.known)
        if key not in self.known:
            # the object too, so that its identity is not given away again; memory may come back, as it does in caches
            self.known[key] = x if by_object else None, self.right(x, lengths)
        return self.known[key][1]


class KeptBySample(Late):
    """By one of so many numbers of the input, and the rest taken for the same."""

    def lie(self, x, lengths):
        key = x.reshape(-1)[:: self.strength].tobytes()
        self.known = getattr(self, "known", {})
        note(key in self.known)
        if key not in self.known:
            self.known[key] = self.right(x, lengths)
        return self.known[key]


class PartOfRows(Late):
    """Computes this share of the rows; the rest is what it was."""

    def lie(self, x, lengths):
        rows = min(x.shape[1] - 1, int(x.shape[1] * self.strength))
        y, state = self.right(x[:, :rows], None if lengths is None else lengths[:rows])
        kept_y, kept_state = self.before[1]
        note(1 - rows / x.shape[1])
        joined = (np.concatenate([s, k[:, rows:]], axis=1) for s, k in zip(state, kept_state, strict=True))
        return self.remember(x, (np.concatenate([y, kept_y[rows:]]), tuple(joined)))


class RowByRow(Late):
    """Computes the rows whose numbers it has not met, each by itself."""

    def lie(self, x, lengths):
        self.known = getattr(self, "known", {})
        rows = [x[:, row].tobytes() for row in range(x.shape[1])]
        new = [row for row, key in enumerate(rows) if key not in self.known]
        note(1 - len(new) / len(rows))
        if new:
            y, state = self.right(np.ascontiguousarray(x[:, new]))
            for place, row in enumerate(new):
                self.known[rows[row]] = y[place], [s[:, place] for s in state]
        found = [self.known[key] for key in rows]
        states = zip(*(state for _, state in found), strict=True)
        return np.stack([y for y, _ in found]), tuple(np.stack(s, axis=1) for s in states)


class FromThePrefix(Late):
    """Keeps the states at every quarter of the last sequence, and goes on from where the numbers are new."""

    def lie(self, x, lengths):
        quarter = len(x) // 4
        kept_x, kept = getattr(self, "quarters", (None, []))
        same = 0
        while kept and same < 4 and np.array_equal(kept_x[: (same + 1) * quarter], x[: (same + 1) * quarter]):
            same += 1
        note(same / 4)
        kept = list(kept[:same])
        for number in range(same, 4):
            part = x[number * quarter : (number + 1) * quarter]
            kept.append(self.right(part, None, kept[-1][1] if kept else None))
        self.quarters = x.copy(), kept
        return kept[-1]


class Skips(Late):
    """Skips this share of its calls, and gives the last result again."""

    def lie(self, x, lengths):
        skips = int(self.calls * self.strength) > int((self.calls - 1) * self.strength)
        note(skips)
        return self.before[1] if skips else self.remember(x, self.right(x, lengths))


class WhenCopied(np.ndarray):
    """An array that is worked out when it is copied."""

    work: Callable

    def copy(self, order="C"):
        return np.array(self.work())


class Lazy(Late):
    """Gives something that is worked out when it is looked at."""

    def lie(self, x, lengths):
        note(1.0)
        y, state = self.before[1]
        x = x.copy()
        if self.strength == "a subclass of ndarray":
            later = y.copy().view(WhenCopied)
            later.work = lambda: self.right(x, lengths)[0]
            return later, state
        later = type("Later", (), {"__array__": lambda _, dtype=None, copy=None: self.right(x, lengths)[0]})()
        return later, state


class Filled(Late):
    """Gives memory at once, which a thread fills when it comes to it."""

    def lie(self, x, lengths):
        self.team = getattr(self, "team", None) or ThreadPoolExecutor(1)
        kept_y, kept_state = self.before[1]
        y, state, x = kept_y.copy(), tuple(s.copy() for s in kept_state), x.copy()

        def fill():
            if self.latest is y:  # whoever has been given newer memory does not look at the older
                found_y, found_state = self.right(x, lengths)
                y[:] = found_y
                for own, found in zip(state, found_state, strict=True):
                    own[:] = found

        note(1.0)
        self.latest = y
        self.team.submit(fill)
        return y, state


class OffBy(Right):
    """Outputs are off by this share, from the first call on."""

    def forward(self, x, lengths=None, state=None):
        y, after = self.right(x, lengths, state)
        return y * y.dtype.type(1 + self.strength), after


class OffByLater(Late):
    """Outputs are off by this share, from when they are timed."""

    def lie(self, x, lengths):
        y, after = self.right(x, lengths)
        return y * y.dtype.type(1 + self.strength), after


class RoundedWeights(Right):
    """Weights of so many bits, as a runtime that only infers may keep them."""

    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        for value in self._params.values():
            unit = (float(np.abs(value).max()) or 1.0) / (2 ** (self.strength - 1) - 1)
            value[:] = np.round(value / unit) * unit


def shortened(value, bits):
    """The number with so many bits of mantissa, as a shorter type would keep it."""
    mantissa, exponent = np.frexp(value)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent).astype(value.dtype)


class ShortInside(Right):
    """Weights, inputs and outputs have so many bits of mantissa: float16 has 11, bfloat16 8."""

    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        for value in self._params.values():
            value[:] = shortened(value, self.strength)

    def forward(self, x, lengths=None, state=None):
        y, after = self.right(shortened(np.nan_to_num(x), self.strength), lengths, state)
        return shortened(y, self.strength), tuple(shortened(value, self.strength) for value in after)


class ShortWhenTimed(Late):
    """Inputs and outputs have so many bits of mantissa, from when they are timed."""

    def lie(self, x, lengths):
        y, after = self.right(shortened(np.nan_to_num(x), self.strength), lengths)
        return shortened(y, self.strength), tuple(shortened(value, self.strength) for value in after)


class IgnoresLengths(Right):
    """Ignores lengths after so many calls."""

    def forward(self, x, lengths=None, state=None):
        self.calls += 1
        if self.calls <= self.strength or lengths is None:
            return self.right(x, lengths, state)
        return self.right(np.nan_to_num(x), None, state)


class WrongLater(Right):
    """Predicts the first batch of the test split right, and is off by this share in the others; each time it does."""

    def forward(self, x, lengths=None, state=None):
        y, after = self.right(x, lengths, state)
        self.calls += self.trained
        first = self.calls % (TEST_ROWS // BATCH) == 1
        return (y * y.dtype.type(1 + self.strength) if self.trained and not first else y), after

    def train_step(self, x, target, lengths=None):
        self.calls, self.trained = 0, 1
        return super().train_step(x, target, lengths)


# ---- single steps ----------------------------------------------------------------------------------------------------


class StepsByPosition(Right):
    """After so many sequences, single steps give what the step at this place gave before."""

    passes = place = 0

    def step(self, x_t, state):
        if state is None:
            self.passes, self.place = self.passes + 1, 0
        self.kept = getattr(self, "kept", {})
        self.place += 1
        lies = self.passes > self.strength and self.place in self.kept
        note(lies)
        if not lies:
            self.kept[self.place] = super().step(x_t, state)
        return self.kept[self.place]

    def train_step(self, x, target, lengths=None):
        self.kept = {}
        return super().train_step(x, target, lengths)


class StepsByContent(Right):
    """Single steps are kept by the numbers they are given, from the so-many-th time on."""

    steps = 0

    def step(self, x_t, state):
        self.kept, self.steps = getattr(self, "kept", {}), self.steps + 1
        key = x_t.tobytes(), None if state is None else b"".join(value.tobytes() for value in state)
        count, found = self.kept.get(key, (0, None))
        if self.steps > LATE:
            note(count >= self.strength)
        if count < self.strength:
            found = super().step(x_t, state)
            self.kept[key] = count + 1, found
        return found

    def train_step(self, x, target, lengths=None):
        self.kept = {}
        return super().train_step(x, target, lengths)


class IgnoresState(Right):
    """After so many single steps, each begins from zeros."""

    steps = 0

    def step(self, x_t, state):
        self.steps += 1
        note(self.steps > self.strength and state is not None)
        return super().step(x_t, state if self.steps <= self.strength else None)


# ---- training --------------------------------------------------------------------------------------------------------


class Trains(Right):
    """Takes the checked steps as they are, and lies from then on."""

    loss_before = 0.0

    def train_step(self, x, target, lengths=None):
        self.trained += 1
        right = self.trained <= CHECKED_STEPS or len(target) < BATCH
        self.loss_before = super().train_step(x, target, lengths) if right else self.lie(x, target, lengths)
        return self.loss_before

    def update(self, x, target, lengths):
        return NumpySession.train_step(self, x, target, lengths)


class LeavesToThread(Trains):
    """Returns at once, or when the loss is known; a thread does the rest, which everything else waits for."""

    waiting = None

    def settle(self):
        if self.waiting is not None:
            self.waiting.result()
            self.waiting = None

    def lie(self, x, target, lengths):
        self.team = getattr(self, "team", None) or ThreadPoolExecutor(1)
        everything = self.strength == "all of it"
        loss = self.loss_before if everything else self.loss_of(x, target, lengths)
        note(1.0 if everything else 2 / 3)
        self.waiting = self.team.submit(self.update, x.copy(), target.copy(), lengths)
        return loss

    def train_step(self, x, target, lengths=None):
        self.settle()
        return super().train_step(x, target, lengths)

    def parameters(self):
        self.settle()
        return super().parameters()

    def forward(self, x, lengths=None, state=None):
        self.settle()
        return super().forward(x, lengths, state)


class TrainsWhenAsked(LeavesToThread):
    """Puts so many batches aside, and trains on them when it must or when somebody looks."""

    def settle(self):
        for batch in getattr(self, "aside", []):
            self.update(*batch)
        self.aside = []

    def lie(self, x, target, lengths):
        note(1 - 1 / self.strength)
        self.aside.append((x.copy(), target.copy(), lengths))
        return self.loss_before

    def train_step(self, x, target, lengths=None):
        if len(getattr(self, "aside", [])) + 1 >= self.strength:
            self.settle()
        self.aside = getattr(self, "aside", [])
        return Trains.train_step(self, x, target, lengths)


class PartOfBatch(Trains):
    """Learns from this share of the batch; the loss that it tells is that of all."""

    def lie(self, x, target, lengths):
        loss, rows = self.loss_of(x, target, lengths), min(len(target) - 1, int(len(target) * self.strength))
        note(1 - rows / len(target))
        self.update(x[:, :rows], target[:rows], None if lengths is None else lengths[:rows])
        return loss


class LeavesOutSteps(Trains):
    """Leaves out this share of the steps, and tells the right loss."""

    def lie(self, x, target, lengths):
        leaves_out = int(self.trained * self.strength) > int((self.trained - 1) * self.strength)
        note(leaves_out)
        return self.loss_of(x, target, lengths) if leaves_out else self.update(x, target, lengths)


class TellsLastLoss(Trains):
    """Trains nothing any more, and tells the last loss again, a little smaller."""

    def lie(self, x, target, lengths):
        note(1.0)
        return self.loss_before * self.strength


class StopsTraining(Trains):
    """Trains nothing after so many steps, and tells the right loss."""

    def lie(self, x, target, lengths):
        note(self.trained > self.strength)
        return (self.loss_of if self.trained > self.strength else self.update)(x, target, lengths)


class TrainsWhenLookedAt(Trains):
    """Trains for so many steps after its weights were read, then nothing until they are read again."""

    unseen = 0

    def lie(self, x, target, lengths):
        self.unseen += 1
        note(self.unseen > self.strength)
        return self.loss_before if self.unseen > self.strength else self.update(x, target, lengths)

    def parameters(self):
        self.unseen = 0
        return super().parameters()


# ---- processes, threads, clocks --------------------------------------------------------------------------------------


def every_core():
    """Let this thread run wherever the machine has a core."""
    os.sched_setaffinity(0, range(os.cpu_count()))


class ChildComputes(Right):
    """Leaves this share of the rows to a process in a session of its own, on any core."""

    detached = False

    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        self.child, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            self._serve(theirs)
        theirs.close()
        if self.detached:
            os.waitpid(pid, 0)

    def _serve(self, pipe):
        try:
            self.child.close()
            os.setsid()
            if self.detached and os.fork():
                os._exit(0)
            every_core()
            while True:
                pipe.send(self.right(*pipe.recv()))
        finally:
            os._exit(0)

    def forward(self, x, lengths=None, state=None):
        rows = int(x.shape[1] * self.strength)
        if state is not None or not rows:
            return self.right(x, lengths, state)
        note(self.strength)
        parts = slice(0, rows), slice(rows, None)
        theirs, ours = [(x[:, part], None if lengths is None else lengths[part]) for part in parts]
        self.child.send(theirs)
        mine, other = self.right(*ours), self.child.recv()
        states = (np.concatenate(pair, axis=1) for pair in zip(other[1], mine[1], strict=True))
        return np.concatenate([other[0], mine[0]]), tuple(states)


class DaemonComputes(ChildComputes):
    """Leaves this share of the rows to a process that is nobody's child, on any core."""

    detached = True


class MovesAway(Right):
    """Takes back the cores it was kept from: with its session, when it is timed, or for the time of each call."""

    def __init__(self, model, params, loss, optimiser):
        super().__init__(model, params, loss, optimiser)
        if self.strength == "with its session":
            every_core()

    def forward(self, x, lengths=None, state=None):
        self.calls += 1
        given = os.sched_getaffinity(0)
        if self.strength != "with its session" and self.calls > LATE:
            every_core()
        result = self.right(x, lengths, state)
        if self.strength == "within each call":
            os.sched_setaffinity(0, given)
        return result


class Bursts(Right):
    """Three threads at once, in one of so many calls. Hashing lets go of the GIL."""

    def forward(self, x, lengths=None, state=None):
        self.calls += 1
        if self.calls > LATE and self.calls % self.strength == 0:
            self.team = getattr(self, "team", None) or ThreadPoolExecutor(3)
            list(self.team.map(lambda _: hashlib.sha256(MEGABYTES), range(3)))
        return self.right(x, lengths, state)


CLOCKS = ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns")


def slow_clock(_, strength):
    """A factory that lets the process's clocks run at this rate, as tools that freeze or scale time do: those of the
    module `time`, or whatever any loaded module calls by these names."""
    rate, everywhere = strength

    def patched(clock, kind):
        start = clock()
        return lambda: kind(start + (clock() - start) * rate)

    def make(threads):
        slow = {name: patched(getattr(time, name), int if name.endswith("ns") else float) for name in CLOCKS}
        modules = list(sys.modules.values()) if everywhere else [time]
        for module in modules:
            for name in CLOCKS:
                if name in getattr(module, "__dict__", {}):
                    setattr(module, name, slow[name])
        return type("Made", (Dishonest,), {"slow": slow, "session": noted})(threads)

    def noted(self, *given):
        from rnnbench.comparison import actions

        timing = [actions.train, *(f for f in vars(actions.clock).values() if inspect.isfunction(f))]
        used = [actions.CaseActions._now, *(default for each in timing for default in each.__defaults__ or ())]
        note((1 - rate) * any(clock in self.slow.values() for clock in used))
        return Dishonest.session(self, *given)

    return make


# ---- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lie:
    """strengths: by what a reader calls them, from the boldest lie to the smallest. answer: words of the sentence that
    must name it; of several, any. session: a class of sessions, or what `make` takes in its place. saves: whether what
    it reports to have left out is its gain, so that nothing left out is nothing gained."""

    id: str
    session: type | None
    strengths: Mapping[str, object]
    answer: tuple[str, ...]
    words: str = ""
    trains: bool = True
    task: str = "sum"
    make: Callable = backend
    saves: bool = False

    @property
    def what(self):
        """What it does, in a sentence."""
        return self.words or " ".join((self.session.__doc__ or "").split())

    def name(self, strength):
        """The id of the backend that tells it in this strength."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.id} {strength}".lower().replace("%", " percent")).strip("-")


def times(*counts):
    return {f"from call {count + 1} on": count for count in counts}


def after(what, *counts):
    return {f"after {count} {what}": count for count in counts}


def shares(*parts):
    return {"all" if part == 1 else f"1 of {part}": 1 / part for part in parts}


def errors(*values):
    return {f"{value:.0e}": value for value in values}


WRONG, TIMED, STEP, CORES, THREADS = "float64 reference", "when timed", "single step", "cores", "threads where"
RATES = (1 / 2, 3 / 4, 9 / 10, 19 / 20)
ERRORS = (1e-2, 1e-3, 1e-4, 2e-5, 5e-6, 1e-6)  # to both sides of the tolerance, 1e-5
LIES = (
    Lie("content", KeptByContent, times(1, 3, 20, 200), (TIMED,), "Keeps results by content", saves=True),
    Lie(
        "identity",
        KeptByIdentity,
        {"object": "object", "memory": "memory"},
        (TIMED,),
        "Keeps results by the identity of its input",
        saves=True,
    ),
    Lie(
        "sample",
        KeptBySample,
        {"1 of 512": 512, "1 of 16": 16, "1 of 2": 2},
        (TIMED,),
        saves=True,
        words="Keeps results by a sample of the input's numbers",
    ),
    Lie("rows", PartOfRows, {"half": 1 / 2, "7 of 8": 7 / 8, "all but one": 1.0}, (TIMED,), saves=True),
    Lie("row-by-row", RowByRow, {"every row": 0}, (TIMED,), saves=True),
    Lie("prefix", FromThePrefix, {"every quarter": 0}, (TIMED,), saves=True),
    Lie("skips", Skips, shares(2, 8, 16, 64), (TIMED,), saves=True),
    Lie("lazy", Lazy, {"a subclass of ndarray": "a subclass of ndarray", "an object": "an object"}, ("plain NumPy",)),
    Lie("filled", Filled, {"a thread": 0}, (TIMED,)),
    Lie("off", OffBy, errors(*ERRORS), (WRONG, STEP)),
    Lie("off-timed", OffByLater, errors(*ERRORS), (TIMED,)),
    Lie(
        "weights",
        RoundedWeights,
        {f"{bits} bits": bits for bits in (4, 8, 12, 16, 18, 20)},
        (WRONG, STEP),
        trains=False,
    ),
    Lie("short", ShortInside, {f"{bits} bits": bits for bits in (8, 11, 14, 17, 19, 21)}, (WRONG, STEP), trains=False),
    Lie("short-timed", ShortWhenTimed, {f"{bits} bits": bits for bits in (8, 11, 14, 17, 19, 21)}, (TIMED,)),
    Lie("lengths", IgnoresLengths, after("calls", 1, LATE), (WRONG, TIMED), task="ragged-sum"),
    Lie("predictions", WrongLater, errors(1.0, *ERRORS), ("test split",)),
    Lie("position", StepsByPosition, after("sequences", 1, 3), (STEP,), saves=True),
    Lie("step-content", StepsByContent, times(1, 3, 20), (STEP,), saves=True),
    Lie("state", IgnoresState, after("steps", 0, LATE, 100), (STEP, "in steps"), saves=True),
    Lie("early", LeavesToThread, {"all of it": "all of it", "all but the loss": "all but the loss"}, ("training",)),
    Lie("aside", TrainsWhenAsked, {f"{count} batches": count for count in (50, 5, 2)}, ("training",)),
    Lie(
        "batch",
        PartOfBatch,
        {"an eighth": 1 / 8, "half": 1 / 2, "7 of 8": 7 / 8, "all but one row": 1.0},
        ("its batches' gradients",),
    ),
    Lie("last-loss", TellsLastLoss, {"the same": 1.0, "less by 1 %": 0.99}, ("its losses", "its batches' gradients")),
    Lie("leaves-out", LeavesOutSteps, shares(1, 2, 4, 8, 16), ("its batches' gradients",)),
    Lie("stops", StopsTraining, after("steps", CHECKED_STEPS, STEPS // 2, STEPS - 10), ("its batches' gradients",)),
    Lie("watched", TrainsWhenLookedAt, after("steps", 1, 4), ("its losses", "gradients"), saves=True),
    Lie("child", ChildComputes, {"half": 1 / 2, "an eighth": 1 / 8}, ("processes that it started",), trains=False),
    Lie("daemon", DaemonComputes, {"half": 1 / 2, "an eighth": 1 / 8}, ("processes that it started",), trains=False),
    Lie(
        "affinity",
        MovesAway,
        {name: name for name in ("with its session", "when it is timed", "within each call")},
        (CORES,),
    ),
    Lie("bursts", Bursts, {f"1 of {count} calls": count for count in (1, 4, 16, 64)}, (THREADS,)),
    Lie(
        "clock",
        None,
        {f"{rate:.0%}": (rate, False) for rate in RATES},
        ("clock",),
        make=slow_clock,
        words="The module `time` is patched: its clocks run at this rate",
        saves=True,
    ),
    Lie(
        "every-clock",
        None,
        {f"{rate:.0%}": (rate, True) for rate in RATES},
        ("clock",),
        make=slow_clock,
        words="Every loaded module's clocks are patched: they run at this rate",
        saves=True,
    ),
)
FACTORIES = {
    lie.name(words): lie.make(lie.session, value) for lie in LIES for words, value in lie.strengths.items()
} | {"numba": Dishonest}  # an honest one, in the trainer's place
globals().update({f"make_{name.replace('-', '_')}": factory for name, factory in FACTORIES.items()})


@hookimpl
def rnnbench_backends():
    trains = {lie.name(words): lie.trains for lie in LIES for words in lie.strengths}
    return [
        BackendInfo(
            id=name, title=name, factory=f"dishonest:make_{name.replace('-', '_')}", trains=trains.get(name, True)
        )
        for name in FACTORIES
    ]
