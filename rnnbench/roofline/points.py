"""Cases of the `numba` backend, checked, timed in this process, and set against what the machine allows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from statistics import median

import numpy as np

from rnnbench import clock, loading
from rnnbench.backends.base import Session
from rnnbench.model import Array, Model, Params
from rnnbench.roofline.limits import MachineLimits, case_limit, parts
from rnnbench.verify import parity
from rnnbench.workers.failure import Failure

BACKEND, REFERENCE = "numba", "numpy"
CELLS = ("lstm", "gru")
# B, T, I, H: single rows whose weights fit further and further away, then batches, which arithmetic binds
SHAPES = (
    (1, 100, 1, 50),
    (1, 100, 64, 128),
    (1, 100, 128, 256),
    (1, 50, 256, 512),
    (32, 100, 64, 128),
    (32, 50, 256, 512),
    (128, 50, 64, 128),
)


@dataclass(frozen=True)
class RooflineCase:
    """One layer of a cell without a head, every h read out."""

    cell: str
    batch_size: int
    seq_len: int
    input_size: int
    hidden_size: int

    def model(self, dtype: str) -> Model:
        """Return the layer in a dtype."""
        return Model(self.cell, self.input_size, self.hidden_size, readout="all", dtype=dtype)

    @property
    def shape(self) -> str:
        """Return B, T, I, H."""
        return f"{self.batch_size}, {self.seq_len}, {self.input_size}, {self.hidden_size}"


CASES = tuple(RooflineCase(cell, *shape) for shape in SHAPES for cell in CELLS)


@dataclass(frozen=True)
class Point:
    """A case and how it did. flops: operations of the whole sequence; weight_bytes: bytes of weights that it cannot do
    without reading; limit_seconds and bound: see `case_limit`; seconds: the median of a forward pass."""

    case: RooflineCase
    flops: int
    weight_bytes: int
    limit_seconds: float
    bound: str
    seconds: float

    @property
    def intensity(self) -> float:
        """Return the operations for each byte of weights."""
        return self.flops / self.weight_bytes

    @property
    def flops_per_second(self) -> float:
        return self.flops / self.seconds

    @property
    def limit_flops_per_second(self) -> float:
        return self.flops / self.limit_seconds

    @property
    def fraction(self) -> float:
        """Return the part of its limit that the case reaches."""
        return self.limit_seconds / self.seconds

    def as_row(self) -> dict[str, float | str]:
        """Return it flat, for JSON and CSV: numbers and strings only, with units in their names."""
        return {
            **asdict(self.case),
            "backend": BACKEND,
            "flops": self.flops,
            "weight_bytes": self.weight_bytes,
            "weight_bytes_per_step": self.weight_bytes / self.case.seq_len,
            "flops_per_byte": self.intensity,
            "infer_seconds": self.seconds,
            "limit_seconds": self.limit_seconds,
            "bound": self.bound,
            "flops_per_second": self.flops_per_second,
            "limit_flops_per_second": self.limit_flops_per_second,
            "limit_fraction": self.fraction,
        }


def measure(cases: Sequence[RooflineCase], limits: MachineLimits) -> Iterator[Point]:
    """Time each case, with the limits' dtype and threads. Raises Failure where an output is wrong."""
    for case in cases:
        model = case.model(limits.dtype)
        work = parts(model, case.batch_size, case.seq_len)
        seconds, bound = case_limit(limits, model, case.batch_size, case.seq_len)
        yield Point(
            case,
            flops=sum(part.flops for part in work),
            weight_bytes=sum(part.bytes_read for part in work),
            limit_seconds=seconds,
            bound=bound,
            seconds=_forward_seconds(case, model, limits.threads),
        )


def check(session: Session, model: Model, params: Params, x: Array, where: str) -> None:
    """Raise Failure, naming `where`, unless the session's output is that of the float64 reference."""
    exact = {name: value.astype("float64") for name, value in params.items()}
    oracle = loading.session(REFERENCE, replace(model, dtype="float64"), exact)
    outputs, expected = {"y": session.forward(x)[0]}, {"y": oracle.forward(x.astype("float64"))[0]}
    allowed = parity.FORWARD_TOLERANCE[model.dtype]
    if odd := parity.malformed(outputs, expected, model.dtype):
        raise Failure("mismatch", f"{where}: {BACKEND} {odd}")
    if (off := parity.deviation(outputs, expected)).error > allowed:
        raise Failure("mismatch", f"{where}: {BACKEND}: {off.reason('the output', allowed)}")


def _forward_seconds(case: RooflineCase, model: Model, threads: int) -> float:
    """Return the median of a forward pass, once its output is checked. Raises Failure."""
    params = model.init(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.seq_len, case.batch_size, case.input_size)).astype(model.dtype)
    session = loading.session(BACKEND, model, params, threads)
    check(session, model, params, x, f"{case.cell}, B, T, I, H = {case.shape}")

    (seconds,) = clock.samples({BACKEND: lambda: session.forward(x)}, Random(0)).values()
    return median(seconds)
