"""A stack of recurrent layers and a linear head: its parameters' names and shapes, counts and initial values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from rnnbench.cells.spec import Cell
from rnnbench.errors import UsageError

Array = np.ndarray[Any, np.dtype[Any]]
Params = dict[str, Array]
State = tuple[Array, ...]

DTYPES = ("float32", "float64")
Readout = Literal["last", "all"]
READOUTS: tuple[Readout, ...] = get_args(Readout)
INITIALISERS = ("uniform", "orthogonal")
Shape = tuple[int, ...]


def plain(name: str, value: object) -> Array:
    """Return what a caller gave as an array, itself where it is one.

    Raises UsageError for what NumPy makes no array of, and for a masked array, whose mask nothing here would read.
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise UsageError(f"{name} is a masked array, and no mask is read; fill it, and give lengths")
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a foreign object raises
        raise UsageError(f"{name} must be an array; NumPy says: {' '.join(str(error).split())}") from None


@dataclass(frozen=True)
class Model:
    """What is computed, with no word on who computes it.

    readout: ``"last"`` gives the final h of each direction, ``"all"`` that of every step.
    output_size: O, the size of the linear head; None for no head.

    Raises UsageError where a size is not a positive whole number or a name is unknown.
    """

    cell: str
    input_size: int
    hidden_size: int
    output_size: int | None = None
    layers: int = 1
    bidirectional: bool = False
    readout: Readout = "last"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "layers", "output_size"):
            value = getattr(self, name)
            if value is None and name == "output_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1; got {value!r}")
            object.__setattr__(self, name, int(value))  # NumPy's would overflow in products of sizes
        if not isinstance(self.bidirectional, bool | np.bool_):
            raise UsageError(f"bidirectional must be True or False; got {self.bidirectional!r}")
        object.__setattr__(self, "bidirectional", bool(self.bidirectional))
        for name, known in (("readout", READOUTS), ("dtype", DTYPES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if not isinstance(self.cell, str):
            raise UsageError(f"cell must be the id of a cell; got {self.cell!r}")
        _ = self.spec

    @cached_property
    def spec(self) -> Cell:
        """Return the cell's data and pair, from the registry. Raises UnknownName."""
        from rnnbench.registry import registry

        return registry().cell(self.cell)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def features(self) -> int:
        """Return D*H, the size of what a layer hands on."""
        return self.directions * self.hidden_size

    def prefixes(self) -> list[tuple[int, bool, str]]:
        """Return (layer, reverse, name prefix) of every layer and direction, in the order of a state's first axis."""
        sides = [(False, "forward"), (True, "reverse")][: self.directions]
        return [(n, reverse, f"layers.{n}.{side}.") for n in range(self.layers) for reverse, side in sides]

    def parameter_shapes(self) -> dict[str, Shape]:
        """Return canonical names and shapes: W [Gw, H, I], R [Gr, H, H], b [G, H], head.W [O, D*H], head.b [O].

        W or R is left out where no accumulator has one.
        """
        cell, H = self.spec, self.hidden_size
        Gw, Gr, G = len(cell.w_accumulators), len(cell.r_accumulators), len(cell.accumulators)
        shapes: dict[str, Shape] = {}
        for layer, _, prefix in self.prefixes():
            size = self.features if layer else self.input_size
            shapes |= {prefix + "W": (Gw, H, size)} if Gw else {}
            shapes |= {prefix + "R": (Gr, H, H)} if Gr else {}
            shapes[prefix + "b"] = (G, H)
        if self.output_size is not None:
            shapes |= {"head.W": (self.output_size, self.features), "head.b": (self.output_size,)}
        return shapes

    def count_parameters(self, two_bias: bool = False) -> int:
        """Count the parameters: canonical ones, or with a bias for each row of W and one for each row of R, as torch
        and cuDNN count. The head is counted in both."""
        canonical = sum(int(np.prod(shape)) for shape in self.parameter_shapes().values())
        if not two_bias:
            return canonical
        doubled = sum(a.sees_x and a.operand is not None for a in self.spec.accumulators)
        return canonical + doubled * self.hidden_size * self.layers * self.directions

    def init(self, seed: int, recurrent: str = "uniform", forget_bias: float | None = None) -> Params:
        """Draw initial parameters, the same for every backend and, up to rounding, dtype.

        Everything is uniform in ±1/√H (the head's in ±1/√(D*H)). recurrent="orthogonal" makes each R of each
        accumulator an orthogonal matrix (Saxe et al. 2014); forget_bias replaces the bias of forget gates.
        """
        if recurrent not in INITIALISERS:
            raise UsageError(f"recurrent must be one of {', '.join(INITIALISERS)}; got {recurrent!r}")
        rng = np.random.default_rng(seed)
        params: Params = {}
        for name, shape in self.parameter_shapes().items():
            bound = (self.features if name.startswith("head.") else self.hidden_size) ** -0.5
            value = rng.uniform(-bound, bound, shape)
            if recurrent == "orthogonal" and name.endswith(".R"):
                q, r = np.linalg.qr(rng.standard_normal(shape))
                value = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
            if forget_bias is not None and name.endswith(".b") and name != "head.b":
                for row, accumulator in enumerate(self.spec.accumulators):
                    value[row] = forget_bias if accumulator.forget else value[row]
            params[name] = np.ascontiguousarray(value, dtype=self.dtype)
        return params

    def check_params(self, params: Mapping[str, Array]) -> Params:
        """Return `params` as C-contiguous arrays of the model's dtype. Raises UsageError naming a tensor that is
        missing, unknown, of another shape or not finite."""
        shapes = self.parameter_shapes()
        if missing := sorted(shapes.keys() - params.keys()):
            raise UsageError(f"parameter {missing[0]!r} is missing; Model.parameter_shapes() lists them all")
        if extra := sorted(params.keys() - shapes.keys()):
            raise UsageError(f"parameter {extra[0]!r} is not one of this model's; Model.parameter_shapes() lists them")
        checked = {}
        for name, shape in shapes.items():
            value = plain(f"parameter {name!r}", params[name])
            if value.shape != shape or value.dtype.kind != "f":
                raise UsageError(f"parameter {name!r} must be floating point {shape}; got {value.dtype} {value.shape}")
            with np.errstate(over="ignore"):  # what overflows is infinite, which the next line reports
                checked[name] = np.ascontiguousarray(value, dtype=self.dtype)
            if not np.isfinite(checked[name]).all():
                raise UsageError(f"parameter {name!r} holds NaN or infinity in {self.dtype}; check how it was made")
        return checked

    def as_dict(self) -> dict[str, object]:
        return asdict(self)
