"""What a backend promises, one function per property: (subject, case) -> measurements, or BrokenPromise.

All in one file, because together they are the contract. Every call gets arrays of its own, so that a fault of one
property does not show in another. A property that leans on another names it in `needs`: where that one fails, this one
is not judged.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from rnnbench.backends.base import Backend, BackendInfo, Session
from rnnbench.comparison.actions import unchanged
from rnnbench.comparison.timing import SPARE_CORES
from rnnbench.errors import Unsupported, UsageError
from rnnbench.model import Array, Params, State
from rnnbench.testing.cases import BOTH_ENDS, LARGE, PLAIN, SHAPES, TWO_WAY, ConformanceCase, Shape
from rnnbench.testing.demand import cores_wanted
from rnnbench.testing.results import BrokenPromise, Measure
from rnnbench.training import Adam
from rnnbench.verify import parity
from rnnbench.verify.diagnose import diagnose_outputs

CURVE_STEPS = 20
CALLERS, CALLS = 4, 5  # threads, and how often each calls
MUDDLES = 3  # tries, since a busy machine may make one look like too many threads
# No default anywhere, so that a fixed one shows; ε is large enough to tell √v̂ + ε from √(v̂ + ε) in float32, and the
# first gradients are longer than the clipping norm.
OPTIMISER = Adam(learning_rate=2e-2, beta1=0.8, beta2=0.95, epsilon=1e-3, clip_norm=0.5)


@dataclass(frozen=True)
class Subject:
    """A backend under test."""

    backend: Backend
    info: BackendInfo
    threads: int

    def session(self, case: ConformanceCase, optimiser: Adam = OPTIMISER) -> Session:
        return self.backend.session(case.model, dict(case.params), case.shape.loss, optimiser)

    def refusal(self, case: ConformanceCase, training: bool = False, streaming: bool = False) -> str | None:
        if training and not self.info.trains:
            return "it says that it does not train"
        return self.backend.unsupported(replace(case.request(training, streaming), threads=self.threads))


Check = Callable[[Subject, ConformanceCase], Iterator[Measure]]


@dataclass(frozen=True)
class Property:
    """promise: for the reader of a failure. ragged, training and streaming say what a backend must be able to do for
    the property to apply; `judges_refusals` looks at refused cases too. every_cell: False for what two cells show.
    costly: a framework that compiles takes seconds for each case; from the second shape on, two cells in the last
    dtype are judged."""

    name: str
    promise: str
    check: Check
    shapes: Sequence[Shape] = SHAPES
    needs: tuple[str, ...] = ()
    ragged: bool = False
    training: bool = False
    streaming: bool = False
    judges_refusals: bool = False
    every_cell: bool = False
    costly: bool = False


PROPERTIES: list[Property] = []


def promise(
    words: str, shapes: Sequence[Shape] = SHAPES, needs: tuple[str, ...] = (), **flags: bool
) -> Callable[[Check], Check]:
    """Make a check a property of that promise, named as the function is; they are judged in the order of this file."""

    def register(check: Check) -> Check:
        PROPERTIES.append(Property(check.__name__.replace("_", " "), words, check, shapes, needs, **flags))
        return check

    return register


@promise("y is that of the float64 reference", shapes=(*SHAPES, BOTH_ENDS), every_cell=True)
def outputs(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    y, _ = subject.session(case).forward(case.x)
    found = _forward("y", y, case.reference().forward(case.x)[0], case)
    if not found.ok:
        guess = diagnose_outputs(case.model, case.params, case.x, None, y, found.tolerance)
        found = replace(found, what=f"it computes as if {guess}" if guess else found.what)
    yield found


@promise("shapes and dtypes are the model's, results NumPy arrays", costly=True)
def form(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session = subject.session(case)
    y, state = session.forward(case.x)
    reference, final = case.reference().forward(case.x)
    if len(state) != len(final):
        raise BrokenPromise(f"forward gave {len(state)} states; the cell has {len(final)}")
    found = {"y": y, **{f"state {n}": s for n, s in enumerate(state)}}
    expected = {"y": reference, **{f"state {n}": s for n, s in enumerate(final)}}
    _well_formed("forward", found, expected, case)
    _well_formed("parameters()", session.parameters(), case.params, case)
    if subject.refusal(case, training=True) is None:
        loss, gradients = session.gradients(case.x, case.target)
        _well_formed("gradients", gradients, case.params, case)
        for call, value in (("gradients", loss), ("train_step", session.train_step(case.x, case.target))):
            if not isinstance(value, float | np.floating):
                raise BrokenPromise(f"{call} gave a loss as {type(value).__name__}; it must be a number")
    yield from ()


@promise("initial states count, final ones come back in the cell's order", needs=("outputs",), every_cell=True)
def states(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, reference = subject.session(case), case.reference()
    for given, words in ((None, " from no initial state"), (case.state, " from an initial state")):
        wanted = reference.forward(case.x, None, given)
        yield from _outputs(words, session.forward(case.x, None, given), wanted, case)


@promise(
    "rows end at their lengths, whatever lies past them",
    shapes=(PLAIN, TWO_WAY, BOTH_ENDS),
    needs=("states",),
    ragged=True,
    every_cell=True,
)
def lengths(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, reference = subject.session(case), case.reference()
    for given, words in ((None, ""), (case.state, " from an initial state")):
        y, final = session.forward(case.x, case.lengths, given)
        if case.shape.readout == "all":
            if not np.isfinite(y).all():
                raise BrokenPromise("what lies in the padding reaches y; zero x there before any product")
            sick = case.x
            sick[0] = np.nan  # within every row
            if y[case.past].any() or session.forward(sick, case.lengths)[0][case.past].any():
                raise BrokenPromise("y past a row's length is not 0")
        yield from _outputs(words, (y, final), reference.forward(case.x, case.lengths, given), case)


@promise("single steps joined are the sequence", needs=("outputs",), streaming=True)
def streaming(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, state, parts = subject.session(case), None, []
    for x_t in case.x:
        y_t, state = session.step(x_t, state)
        parts.append(np.array(y_t))
    y = np.stack(parts) if case.shape.readout == "all" else parts[-1]
    yield from _outputs(" of single steps", (y, state or ()), case.reference().forward(case.x), case)


@promise(
    "loss and gradients are the reference's",
    shapes=(PLAIN, TWO_WAY),
    needs=("outputs",),
    training=True,
    every_cell=True,
    costly=True,
)
def gradients(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, reference = subject.session(case), case.reference()
    for given in (None, case.state):
        wanted = reference.gradients(case.x, case.target, None, given)
        yield from _loss_and_gradients(session.gradients(case.x, case.target, None, given), wanted, case)


@promise(
    "so they are with lengths, whatever lies past them",
    needs=("lengths", "gradients"),
    ragged=True,
    training=True,
    costly=True,
)
def ragged_gradients(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    wanted = case.reference().gradients(case.x, case.target, case.lengths)
    yield from _loss_and_gradients(subject.session(case).gradients(case.x, case.target, case.lengths), wanted, case)


@promise("losses follow the reference's Adam", needs=("gradients",), training=True, every_cell=True, costly=True)
def training(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, reference = subject.session(case), case.reference(optimiser=OPTIMISER)
    losses = [session.train_step(case.x, case.target) for _ in range(CURVE_STEPS)]
    wanted = [reference.train_step(case.x, case.target) for _ in range(CURVE_STEPS)]
    error = parity.curve_error(losses, wanted)
    yield _measure(f"the loss of {CURVE_STEPS} steps", error, parity.CURVE_TOLERANCE[case.dtype])
    y = case.reference(session.parameters()).forward(case.x)[0]
    yield _forward("y after training, from what parameters() tells,", session.forward(case.x)[0], y, case)


@promise("parameters() gives copies of the weights, bit for bit")
def weights(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session = subject.session(case)
    copies = session.parameters()
    difference = max(_difference(copies[name], value) for name, value in case.params.items())
    yield _measure("parameters() of a new session", difference, 0.0)
    before = session.forward(case.x)[0].copy()
    for value in copies.values():
        value += 1
    after = session.forward(case.x)[0]
    yield _forward("y after what parameters() gave is written to", after, before, case)


@promise("no call writes to what it is given", costly=True)
def inputs_kept(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    params = {name: value.copy() for name, value in case.params.items()}
    given = {"x": case.x, "target": case.target, **params}
    state = case.state
    given |= {f"state {name}": value for name, value in zip(case.model.spec.states, state, strict=True)}
    with unchanged("the session", params):
        session = subject.backend.session(case.model, params, case.shape.loss, OPTIMISER)
    with unchanged("forward", given):
        session.forward(given["x"], None, state)
    if subject.refusal(case, training=True) is None:
        with unchanged("gradients", given):
            session.gradients(given["x"], given["target"], None, state)
        with unchanged("train_step", given):
            session.train_step(given["x"], given["target"])
    yield from ()


@promise("the same call gives the same bits", costly=True)
def determinism(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    one, other = subject.session(case), subject.session(case)
    first = one.forward(case.x)[0].copy()
    yield _measure("y of the same call again", _difference(one.forward(case.x)[0], first), 0.0)
    yield _measure("y of another session", _difference(other.forward(case.x)[0], first), 0.0)
    if subject.refusal(case, training=True) is None:
        kept = {name: value.copy() for name, value in one.gradients(case.x, case.target)[1].items()}
        again = other.gradients(case.x, case.target)[1]
        difference = max(_difference(again[name], value) for name, value in kept.items())
        yield _measure("gradients of another session", difference, 0.0)


@promise("threads in one session get what each would get alone", needs=("outputs", "determinism"), costly=True)
def callers(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    shared, alone = subject.session(case), subject.session(case)

    def inferring(session: Session, number: int) -> list[Array]:
        return [session.forward(case.x * case.x.dtype.type(0.5**number))[0].copy() for _ in range(CALLS)]

    wanted = [inferring(alone, number) for number in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        found = list(pool.map(partial(inferring, shared), range(CALLERS)))
        yield _measure("y of a thread among others", _difference(np.array(found), np.array(wanted)), 0.0)
        if subject.refusal(case, training=True) is None:  # the same step from all, whose order does not show
            taken = list(pool.map(lambda _: shared.train_step(case.x, case.target), range(CURVE_STEPS)))
            losses = [alone.train_step(case.x, case.target) for _ in taken]
            yield _measure("the losses of many threads' steps", _difference(np.sort(taken), np.sort(losses)), 0.0)


@promise("what does not fit is refused with UsageError, and is as if it had not been", needs=("states",), costly=True)
def misuse(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, untouched, masked = subject.session(case), subject.session(case), np.ma.masked_invalid(case.x)
    wrong: dict[str, Callable[[], object]] = {
        "an x of complex numbers": lambda: session.forward(case.x + 0j),
        "an x of objects": lambda: session.forward(case.x.astype(object)),
        "a masked array": lambda: session.forward(masked),
        "an initial state of a row less": lambda: session.forward(case.x, None, tuple(s[:, 1:] for s in case.state)),
        "a state too many": lambda: session.forward(case.x, None, (*case.state, case.state[0])),
    }
    if trains := subject.refusal(case, training=True) is None:
        wrong["a target of complex numbers"] = lambda: session.train_step(case.x, case.target + 0j)
        wrong["a target of another shape"] = lambda: session.train_step(case.x, case.target[:-1])
    for what, call in wrong.items():
        try:
            call()
        except UsageError:
            continue
        raise BrokenPromise(f"{what} is taken; raise rnnbench.UsageError, as the functions of backends.inputs do")
    if trains:
        found, wanted = ([one.train_step(case.x, case.target) for _ in range(2)] for one in (session, untouched))
        yield _measure("the losses after refused steps", _difference(np.array(found), np.array(wanted)), 0.0)


@promise("new numbers in the same array give a new result", needs=("outputs",), costly=True)
def no_caching(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, reference, x = subject.session(case), case.reference(), case.x
    session.forward(x)
    x *= x.dtype.type(0.5)
    expected = reference.forward(x)[0]
    yield _forward("y of new numbers in the same array", session.forward(x)[0], expected, case)
    if subject.refusal(case, training=True) is None:
        session.gradients(x, case.target)
        x *= x.dtype.type(0.5)
        wanted = subject.session(case).gradients(x.copy(), case.target)[1]
        yield _gradients(session.gradients(x, case.target)[1], wanted, case)


@promise("no more cores than allowed are used", shapes=(LARGE,))
def threads(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    session, x = subject.session(case), case.x
    session.forward(x)
    allowed, wanted = subject.threads + SPARE_CORES, math.inf
    for _ in range(MUDDLES):  # the least of them: threads too many are wanted each time
        wanted = min(wanted, cores_wanted(lambda: session.forward(x)))
        if wanted <= allowed:
            break
    yield Measure("cores wanted at a time", wanted, allowed)


@promise("what cannot run is refused with a reason", judges_refusals=True, every_cell=True)
def refusals(subject: Subject, case: ConformanceCase) -> Iterator[Measure]:
    for one in (case, replace(case, ragged=True)):
        for training, streaming in ((False, False), (subject.info.trains, False), (False, True)):
            reason = subject.refusal(one, training, streaming)
            if reason is not None and (not isinstance(reason, str) or not reason.strip() or "\n" in reason):
                raise BrokenPromise(f"unsupported() gave {reason!r}; it must be None, or a reason in one line")
    named = subject.info.cells is not None and case.shape is PLAIN
    if named and (reason := subject.refusal(case)):
        raise BrokenPromise(f"its BackendInfo names cell and dtype, and it refuses the plainest case: {reason}")
    if case.model.bidirectional:
        if subject.refusal(case, streaming=True) is None:
            raise BrokenPromise(
                "unsupported() takes single steps of a bidirectional model; they need the whole sequence"
            )
        if subject.refusal(case) is None:
            _refuses_to_step(subject.session(case), case)
    yield from ()


def _refuses_to_step(session: Session, case: ConformanceCase) -> None:
    try:
        session.step(case.x[0], None)
    except Unsupported:
        return
    raise BrokenPromise("step of a bidirectional model gave a result; raise rnnbench.Unsupported")


def _forward(what: str, value: Array, reference: Array, case: ConformanceCase) -> Measure:
    _comparable(what, value, reference)
    return _measure(what, parity.error(value, reference), parity.FORWARD_TOLERANCE[case.dtype])


def _outputs(
    words: str, found: tuple[Array, State], wanted: tuple[Array, State], case: ConformanceCase
) -> Iterator[Measure]:
    """Compare y and the final states with the reference's."""
    yield _forward(f"y{words}", found[0], wanted[0], case)
    for name, value, reference in zip(case.model.spec.states, found[1], wanted[1], strict=True):
        yield _forward(f"final {name}{words}", value, reference, case)


def _loss_and_gradients(
    found: tuple[float, Params], wanted: tuple[float, Params], case: ConformanceCase
) -> Iterator[Measure]:
    yield _forward("the loss", np.array(found[0]), np.array(wanted[0]), case)
    yield _gradients(found[1], wanted[1], case)


def _gradients(found: Params, wanted: Params, case: ConformanceCase) -> Measure:
    if odd := sorted(found.keys() ^ wanted.keys()):
        raise BrokenPromise(f"gradients {'left out' if odd[0] in wanted else 'holds'} {odd[0]}")
    for name, value in wanted.items():
        _comparable(f"the gradient of {name}", found[name], value)
    worst = parity.gradient_deviation(found, wanted)
    return _measure(f"the gradient of {worst.tensor}", worst.error, parity.GRADIENT_TOLERANCE[case.dtype])


def _comparable(what: str, value: Array, reference: Array) -> None:
    if value.shape != reference.shape:
        raise BrokenPromise(f"{what} has shape {value.shape}; it must be {reference.shape}")
    if not np.isfinite(value).all():
        raise BrokenPromise(f"{what} holds NaN or infinity")


def _well_formed(call: str, found: Params, expected: Params, case: ConformanceCase) -> None:
    for name, value in found.items():
        if not isinstance(value, np.ndarray):  # a plugin is not bound by our annotations
            raise BrokenPromise(f"{call} gave {name} as {type(value).__name__}; it must be a NumPy array")
    if complaint := parity.malformed(found, expected, case.dtype):
        raise BrokenPromise(f"{call} {complaint}")


def _difference(value: Array, other: Array) -> float:
    if value.shape != other.shape:
        raise BrokenPromise(f"has shape {value.shape} where it was {other.shape}")
    return float(np.max(np.abs(value.astype("float64") - other), initial=0.0))


def _measure(what: str, error: float, tolerance: float) -> Measure:
    if not np.isfinite(error):
        raise BrokenPromise(f"{what} holds NaN or infinity")
    return Measure(what, error, tolerance)
