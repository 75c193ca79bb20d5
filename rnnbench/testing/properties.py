"""What a backend promises, one function per property: (subject, problem) -> measurements, or Broken.

Every call gets arrays of its own, so that a fault of one property does not show in another. A property that leans on
another names it in `needs`: where that one fails, this one is not judged.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnbench.backends.base import Backend, BackendInfo, Session
from rnnbench.comparison.actions import unchanged
from rnnbench.comparison.timing import SPARE_CORES
from rnnbench.errors import Unsupported
from rnnbench.model import Array, Params
from rnnbench.testing.demand import cores_wanted
from rnnbench.testing.finding import Broken, Measure
from rnnbench.testing.problem import BOTH_ENDS, LARGE, PLAIN, SHAPES, TWO_WAY, Problem, Shape
from rnnbench.training import Adam
from rnnbench.verify import parity
from rnnbench.verify.diagnose import diagnose_outputs

CURVE_STEPS = 20
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

    def session(self, problem: Problem, optimiser: Adam = OPTIMISER) -> Session:
        return self.backend.session(problem.model, dict(problem.params), problem.shape.loss, optimiser)

    def refusal(self, problem: Problem, training: bool = False, streaming: bool = False) -> str | None:
        if training and not self.info.trains:
            return "it says that it does not train"
        return self.backend.unsupported(replace(problem.case(training, streaming), threads=self.threads))


Check = Callable[[Subject, Problem], Iterator[Measure]]


@dataclass(frozen=True)
class Property:
    """promise: for the reader of a failure. ragged, training and streaming say what a backend must be able to do for
    the property to apply; `judges_refusals` looks at refused problems too. every_cell: False for what two cells show.
    costly: a framework that compiles takes seconds for each problem; from the second shape on, two cells in the last
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


def outputs(subject: Subject, problem: Problem) -> Iterator[Measure]:
    y, _ = subject.session(problem).forward(problem.x)
    found = _forward("y", y, problem.reference().forward(problem.x)[0], problem)
    if not found.ok:
        guess = diagnose_outputs(problem.model, problem.params, problem.x, None, y, found.tolerance)
        found = replace(found, what=f"it computes as if {guess}" if guess else found.what)
    yield found


def form(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session = subject.session(problem)
    y, state = session.forward(problem.x)
    reference, final = problem.reference().forward(problem.x)
    if len(state) != len(final):
        raise Broken(f"forward gave {len(state)} states; the cell has {len(final)}")
    found = {"y": y, **{f"state {n}": s for n, s in enumerate(state)}}
    expected = {"y": reference, **{f"state {n}": s for n, s in enumerate(final)}}
    _well_formed("forward", found, expected, problem)
    _well_formed("parameters()", session.parameters(), problem.params, problem)
    if subject.refusal(problem, training=True) is None:
        loss, gradients = session.gradients(problem.x, problem.target)
        _well_formed("gradients", gradients, problem.params, problem)
        for call, value in (("gradients", loss), ("train_step", session.train_step(problem.x, problem.target))):
            if not isinstance(value, float | np.floating):
                raise Broken(f"{call} gave a loss as {type(value).__name__}; it must be a number")
    yield from ()


def states(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, reference = subject.session(problem), problem.reference()
    for given, words in ((None, "no initial state"), (problem.state, "an initial state")):
        y, final = session.forward(problem.x, None, given)
        expected_y, expected = reference.forward(problem.x, None, given)
        yield _forward(f"y from {words}", y, expected_y, problem)
        for name, value, wanted in zip(problem.model.spec.states, final, expected, strict=True):
            yield _forward(f"final {name} from {words}", value, wanted, problem)


def lengths(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, reference = subject.session(problem), problem.reference()
    for given, words in ((None, ""), (problem.state, " from an initial state")):
        y, final = session.forward(problem.x, problem.lengths, given)
        expected_y, expected = reference.forward(problem.x, problem.lengths, given)
        if problem.shape.readout == "all":
            if not np.isfinite(y).all():
                raise Broken("what lies in the padding reaches y; zero x there before any product")
            if y[problem.past].any():
                raise Broken("y past a row's length is not 0")
        yield _forward(f"y{words}", y, expected_y, problem)
        for name, value, wanted in zip(problem.model.spec.states, final, expected, strict=True):
            yield _forward(f"final {name}{words}", value, wanted, problem)


def streaming(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, state, parts = subject.session(problem), None, []
    for x_t in problem.x:
        y_t, state = session.step(x_t, state)
        parts.append(np.array(y_t))
    y = np.stack(parts) if problem.shape.readout == "all" else parts[-1]
    expected_y, expected = problem.reference().forward(problem.x)
    yield _forward("y of single steps", y, expected_y, problem)
    for name, value, wanted in zip(problem.model.spec.states, state or (), expected, strict=True):
        yield _forward(f"final {name} of single steps", value, wanted, problem)


def gradients(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, reference = subject.session(problem), problem.reference()
    for given in (None, problem.state):
        loss, found = session.gradients(problem.x, problem.target, None, given)
        wanted_loss, wanted = reference.gradients(problem.x, problem.target, None, given)
        yield _forward("the loss", np.array(loss), np.array(wanted_loss), problem)
        yield _gradients(found, wanted, problem)


def ragged_gradients(subject: Subject, problem: Problem) -> Iterator[Measure]:
    loss, found = subject.session(problem).gradients(problem.x, problem.target, problem.lengths)
    wanted_loss, wanted = problem.reference().gradients(problem.x, problem.target, problem.lengths)
    yield _forward("the loss", np.array(loss), np.array(wanted_loss), problem)
    yield _gradients(found, wanted, problem)


def training(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, reference = subject.session(problem), problem.reference(optimiser=OPTIMISER)
    losses = [session.train_step(problem.x, problem.target) for _ in range(CURVE_STEPS)]
    wanted = [reference.train_step(problem.x, problem.target) for _ in range(CURVE_STEPS)]
    error = parity.curve_error(losses, wanted)
    yield _measure(f"the loss of {CURVE_STEPS} steps", error, parity.CURVE_TOLERANCE[problem.dtype])
    y = problem.reference(session.parameters()).forward(problem.x)[0]
    yield _forward("y after training, from what parameters() tells,", session.forward(problem.x)[0], y, problem)


def weights(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session = subject.session(problem)
    told = session.parameters()
    difference = max(_difference(told[name], value) for name, value in problem.params.items())
    yield _measure("parameters() of a new session", difference, 0.0)
    before = session.forward(problem.x)[0].copy()
    for value in told.values():
        value += 1
    after = session.forward(problem.x)[0]
    yield _forward("y after what parameters() gave is written to", after, before, problem)


def inputs_kept(subject: Subject, problem: Problem) -> Iterator[Measure]:
    params = {name: value.copy() for name, value in problem.params.items()}
    given = {"x": problem.x, "target": problem.target, **params}
    state = problem.state
    given |= {f"state {name}": value for name, value in zip(problem.model.spec.states, state, strict=True)}
    with unchanged("the session", params):
        session = subject.backend.session(problem.model, params, problem.shape.loss, OPTIMISER)
    with unchanged("forward", given):
        session.forward(given["x"], None, state)
    if subject.refusal(problem, training=True) is None:
        with unchanged("gradients", given):
            session.gradients(given["x"], given["target"], None, state)
        with unchanged("train_step", given):
            session.train_step(given["x"], given["target"])
    yield from ()


def determinism(subject: Subject, problem: Problem) -> Iterator[Measure]:
    one, other = subject.session(problem), subject.session(problem)
    first = one.forward(problem.x)[0].copy()
    yield _measure("y of the same call again", _difference(one.forward(problem.x)[0], first), 0.0)
    yield _measure("y of another session", _difference(other.forward(problem.x)[0], first), 0.0)
    if subject.refusal(problem, training=True) is None:
        kept = {name: value.copy() for name, value in one.gradients(problem.x, problem.target)[1].items()}
        again = other.gradients(problem.x, problem.target)[1]
        difference = max(_difference(again[name], value) for name, value in kept.items())
        yield _measure("gradients of another session", difference, 0.0)


def no_caching(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, reference, x = subject.session(problem), problem.reference(), problem.x
    session.forward(x)
    x *= x.dtype.type(0.5)
    expected = reference.forward(x)[0]
    yield _forward("y of new numbers in the same array", session.forward(x)[0], expected, problem)
    if subject.refusal(problem, training=True) is None:
        session.gradients(x, problem.target)
        x *= x.dtype.type(0.5)
        wanted = subject.session(problem).gradients(x.copy(), problem.target)[1]
        yield _gradients(session.gradients(x, problem.target)[1], wanted, problem)


def threads(subject: Subject, problem: Problem) -> Iterator[Measure]:
    session, x = subject.session(problem), problem.x
    session.forward(x)
    allowed, wanted = subject.threads + SPARE_CORES, math.inf
    for _ in range(MUDDLES):  # the least of them: threads too many are wanted each time
        wanted = min(wanted, cores_wanted(lambda: session.forward(x)))
        if wanted <= allowed:
            break
    yield Measure("cores wanted at a time", wanted, allowed)


def refusals(subject: Subject, problem: Problem) -> Iterator[Measure]:
    for one in (problem, replace(problem, ragged=True)):
        for training, streaming in ((False, False), (subject.info.trains, False), (False, True)):
            reason = subject.refusal(one, training, streaming)
            if reason is not None and (not isinstance(reason, str) or not reason.strip() or "\n" in reason):
                raise Broken(f"unsupported() gave {reason!r}; it must be None, or a reason in one line")
    named = subject.info.cells is not None and problem.shape is PLAIN
    if named and (reason := subject.refusal(problem)):
        raise Broken(f"its BackendInfo names cell and dtype, and it refuses the plainest case: {reason}")
    if problem.model.bidirectional:
        if subject.refusal(problem, streaming=True) is None:
            raise Broken("unsupported() takes single steps of a bidirectional model; they need the whole sequence")
        if subject.refusal(problem) is None:
            _refuses_to_step(subject.session(problem), problem)
    yield from ()


def _refuses_to_step(session: Session, problem: Problem) -> None:
    try:
        session.step(problem.x[0], None)
    except Unsupported:
        return
    raise Broken("step of a bidirectional model gave a result; raise rnnbench.Unsupported")


PROPERTIES = (
    Property("outputs", "y is that of the float64 reference", outputs, (*SHAPES, BOTH_ENDS), every_cell=True),
    Property("form", "shapes and dtypes are the model's, results NumPy arrays", form, costly=True),
    Property(
        "states",
        "initial states count, final ones come back in the cell's order",
        states,
        needs=("outputs",),
        every_cell=True,
    ),
    Property(
        "lengths",
        "rows end at their lengths, whatever lies past them",
        lengths,
        (PLAIN, TWO_WAY, BOTH_ENDS),
        needs=("states",),
        ragged=True,
        every_cell=True,
    ),
    Property(
        "streaming",
        "single steps joined are the sequence",
        streaming,
        needs=("outputs",),
        streaming=True,
    ),
    Property(
        "gradients",
        "loss and gradients are the reference's",
        gradients,
        (PLAIN, TWO_WAY),
        needs=("outputs",),
        training=True,
        every_cell=True,
        costly=True,
    ),
    Property(
        "ragged gradients",
        "so they are with lengths, whatever lies past them",
        ragged_gradients,
        needs=("lengths", "gradients"),
        ragged=True,
        training=True,
        costly=True,
    ),
    Property(
        "training",
        "losses follow the reference's Adam",
        training,
        needs=("gradients",),
        training=True,
        every_cell=True,
        costly=True,
    ),
    Property("weights", "parameters() gives copies of the weights, bit for bit", weights),
    Property("inputs kept", "no call writes to what it is given", inputs_kept, costly=True),
    Property("determinism", "the same call gives the same bits", determinism, costly=True),
    Property(
        "no caching", "new numbers in the same array give a new result", no_caching, needs=("outputs",), costly=True
    ),
    Property("threads", "no more cores than allowed are used", threads, (LARGE,)),
    Property("refusals", "what cannot run is refused with a reason", refusals, judges_refusals=True, every_cell=True),
)


def _forward(what: str, value: Array, reference: Array, problem: Problem) -> Measure:
    _comparable(what, value, reference)
    return _measure(what, parity.error(value, reference), parity.FORWARD_TOLERANCE[problem.dtype])


def _gradients(found: Params, wanted: Params, problem: Problem) -> Measure:
    if odd := sorted(found.keys() ^ wanted.keys()):
        raise Broken(f"gradients {'left out' if odd[0] in wanted else 'holds'} {odd[0]}")
    for name, value in wanted.items():
        _comparable(f"the gradient of {name}", found[name], value)
    worst = parity.gradient_deviation(found, wanted)
    return _measure(f"the gradient of {worst.tensor}", worst.error, parity.GRADIENT_TOLERANCE[problem.dtype])


def _comparable(what: str, value: Array, reference: Array) -> None:
    if value.shape != reference.shape:
        raise Broken(f"{what} has shape {value.shape}; it must be {reference.shape}")
    if not np.isfinite(value).all():
        raise Broken(f"{what} holds NaN or infinity")


def _well_formed(call: str, found: Params, expected: Params, problem: Problem) -> None:
    for name, value in found.items():
        if not isinstance(value, np.ndarray):  # a plugin is not bound by our annotations
            raise Broken(f"{call} gave {name} as {type(value).__name__}; it must be a NumPy array")
    if complaint := parity.malformed(found, expected, problem.dtype):
        raise Broken(f"{call} {complaint}")


def _difference(value: Array, other: Array) -> float:
    if value.shape != other.shape:
        raise Broken(f"has shape {value.shape} where it was {other.shape}")
    return float(np.max(np.abs(value.astype("float64") - other), initial=0.0))


def _measure(what: str, error: float, tolerance: float) -> Measure:
    if not np.isfinite(error):
        raise Broken(f"{what} holds NaN or infinity")
    return Measure(what, error, tolerance)
