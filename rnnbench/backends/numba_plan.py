"""How a call of the `numba` backend is divided between threads, and the programs that it runs.

Threads take rows each, or, when rows are few, units: a share of the panels and of the weights each (see scan.py). What
stays the same from one call of a size to the next is its plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.backends.numba_crew import Crew, Program
from rnnbench.backends.numba_table import Table
from rnnbench.model import Array, Model

if TYPE_CHECKING:
    from rnnbench.kernels.layer import Head, Layer, Source, Weights

PLANS_KEPT = 16  # sizes of call whose plans and scratch memory stay
# Handing work to a thread costs some tens of microseconds; below this much of it one thread is faster.
OPERATIONS_WORTH_A_THREAD = 6_000_000
# What a tile does in the time that threads need to meet.
OPERATIONS_A_MEETING = 15_000
# Threads that share units also wait for each other at every step, and read states that the others wrote ...
COST_OF_SHARING_UNITS = 0.05
# ... but those that share rows all read all weights, which costs that much where they are larger than this, in bytes.
COST_OF_READING_ALL, LARGE_WEIGHTS = 0.15, 16 << 20
# Inputs this wide are multiplied by W for many steps at once when a batch alone would not fill the tile.
WIDE_INPUT, VISITS_AT_ONCE = 16, 24

NEVER = -1

Values = dict[str, Any]
Step = list[tuple[int, int]]  # of a program: for each thread a kernel's and its record's addresses, or zeros


@dataclass(frozen=True)
class Rows:
    """The rows a thread computes: order and length [N], by falling length, and active [T], how many still run."""

    order: Array
    length: Array
    active: Array

    @classmethod
    def split(cls, T: int, B: int, lengths: Array | None, parts: int) -> "list[Rows]":
        length = np.full(B, T, np.int64) if lengths is None else lengths
        order = np.argsort(-length, kind="stable").astype(np.int64)
        shares = [np.ascontiguousarray(order[part::parts]) for part in range(parts)]
        steps = np.arange(T)[:, None]
        return [cls(share, length[share], (steps < length[share]).sum(axis=1)) for share in shares]

    def become(self, other: "Rows") -> None:
        """Takes over the values of as many rows and steps."""
        for mine, theirs in ((self.order, other.order), (self.length, other.length), (self.active, other.active)):
            mine[...] = theirs


@dataclass(frozen=True)
class Optimiser:
    """Adam's arrays, flat [parameters] in the order of theta; settings: the constants of `call.ADAM`; pace float64 [2]:
    its rate and spread at this step."""

    theta: Array
    mean: Array
    square: Array
    settings: Values
    pace: Array


@dataclass(frozen=True)
class Parts:
    """What plans are made of: the session's model, layers, head and memory, and where gradients lie in the flat one."""

    model: Model
    layers: "Sequence[Layer]"
    head: "Head | None"
    table: Table
    crew: Crew
    places: dict[str, int]
    loss: str
    optimiser: Callable[[], Optimiser]

    @cached_property
    def features(self) -> str:
        """The slot of what the head reads: the last layer's sequence, or its rows' last h."""
        return "last" if self.model.readout == "last" else f"sequence.{self.model.layers}"

    @cached_property
    def outputs(self) -> str:
        """The slot of what a call returns."""
        return "prediction" if self.head else self.features

    def packing(self) -> Program:
        """Packs all weights that inference needs, on one thread."""
        kept: list[Any] = []
        return _program(self.crew, kept, [_pack(self, weights_of_inference(self), kept, 1)], NEVER)


class Planner:
    """The plans of one session, and how many threads they take."""

    def __init__(self, parts: Parts, threads: int) -> None:
        self.parts, self.threads = parts, threads
        self._plans: dict[tuple[int, int], Plan] = {}

    def plan(self, T: int, B: int, lengths: Array | None) -> "Plan":
        plan = self._plans.get((T, B))
        if plan is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            plan = self._plans[T, B] = Plan(self.parts, T, B, *self.shares(T, B))
        plan.take(lengths)
        return plan

    def shares(self, T: int, B: int) -> tuple[int, int]:
        """Into how many parts the rows, and the units, are divided: one of them is 1.

        The one that costs less: the largest share of rows or of panels, and with units, waiting after every stage of
        every step; with rows, that each thread reads all weights.
        """
        side, model = self.parts.layers[-1], self.parts.model
        spec, H, layout = model.spec, model.hidden_size, side.layout
        weights = H * (H * len(spec.r_accumulators) + side.inputs * len(spec.w_accumulators))
        a_step = 2 * B * weights
        threads = min(self.threads, max(1, T * a_step // OPERATIONS_WORTH_A_THREAD))
        panels, blocks = side.padded // layout.lanes, layout.padded_back(H) // (layout.lanes * layout.columns)
        by_rows, by_units = min(threads, B), min(threads, blocks)
        meeting = by_units * len(spec.stages) * OPERATIONS_A_MEETING / a_step
        large = weights * layout.dtype.itemsize > LARGE_WEIGHTS
        cost_by_rows = -(-B // by_rows) / B + (COST_OF_READING_ALL / by_rows if large else 0)
        cost_by_units = -(-panels // by_units) / panels + (meeting + COST_OF_SHARING_UNITS) / by_units
        return (by_rows, 1) if cost_by_rows < cost_by_units else (1, by_units)


class Plan:
    """Calls of T steps and B rows, whose threads share the rows or the units. Programs are made when first asked for.

    value float64 [1]: where a program leaves the loss.
    """

    def __init__(self, parts: Parts, T: int, B: int, by_rows: int, by_units: int) -> None:
        self.parts, self.T, self.B, self.by_units = parts, T, B, by_units
        self.threads = by_rows * by_units
        self.rows = Rows.split(T, B, None, by_rows)
        self.lengths = np.full(B, T, np.int64)
        self.value = np.zeros(1)
        model = parts.model
        last = model.output_size or model.features
        self.output_shape: tuple[int, ...] = (B, last) if model.readout == "last" else (T, B, last)
        self._ragged = False
        self._programs: dict[str | int, Program] = {}
        self._kept: list[Any] = [self.rows, self.lengths, self.value]

    def take(self, lengths: Array | None) -> None:
        """The rows' lengths of the next call; None: all T."""
        if lengths is None and not self._ragged:
            return
        self._ragged = lengths is not None
        self.lengths[...] = self.T if lengths is None else lengths
        for mine, theirs in zip(self.rows, Rows.split(self.T, self.B, lengths, len(self.rows)), strict=True):
            mine.become(theirs)

    # --- programs -----------------------------------------------------------------------------------------------------

    def layer(self, number: int) -> Program:
        """Inference of one layer, in both directions, and of the head behind the last."""
        program = self._programs.get(number)
        return program or self._made(number, lambda: self._inference(number))

    def through(self) -> Program:
        """Inference of all layers, with nothing between them."""
        return self._made("through", lambda: [s for n in range(self.parts.model.layers) for s in self._inference(n)])

    def gradients(self) -> Program:
        """The loss and its gradients, from weights as they are."""
        return self._made("gradients", self._differentiation, self._loss_at)

    def training(self) -> Program:
        """One step of training: `gradients`, and Adam."""
        return self._made("training", lambda: [*self._differentiation(), self._adam()], self._loss_at)

    def _made(self, name: str | int, steps: Callable[[], list[Step]], last: int = NEVER) -> Program:
        if name not in self._programs:
            self._programs[name] = _program(self.parts.crew, self._kept, steps(), last)
        return self._programs[name]

    def make_room(self) -> None:
        """Memory for everything that training keeps until its step is done; none is smaller than another plan wants."""
        parts, model, T, B = self.parts, self.parts.model, self.T, self.B
        if parts.table.rooms_of is self:
            return
        parts.table.rooms_of = self
        room, sequence = parts.table.room, (T, B, model.features)
        for side in parts.layers:
            room(f"tape.{side.number}", side.tape_shape(T, B))
            room(f"before.{side.number}", side.before_shape(T, B))
        for layer in range(1, model.layers + (model.readout == "all")):
            room(f"sequence.{layer}", sequence)
            room(f"dsequence.{layer}", sequence)
        if model.readout == "last":
            room("last", (B, model.features))
            room("dlast", (B, model.features))
        if parts.head:
            room("prediction", self.output_shape)
            room("dprediction", self.output_shape)
        room("final", (len(model.spec.states), len(parts.layers), B, model.hidden_size))

    @property
    def _loss_at(self) -> int:
        """The loss's place in `_differentiation`: behind the packing, the layers and the head."""
        return 1 + len(self.parts.layers) + (self.parts.head is not None)

    @property
    def _read_out(self) -> int:
        """How many visits the model's outputs are of."""
        return self.B if self.parts.model.readout == "last" else self.T * self.B

    # --- their steps --------------------------------------------------------------------------------------------------

    def _inference(self, layer: int) -> list[Step]:
        steps = [self._forward(side, keep=False) for side in self.parts.layers if side.layer == layer]
        return [*steps, self._head()] if self.parts.head and layer == self.parts.model.layers - 1 else steps

    def _differentiation(self) -> list[Step]:
        from rnnbench.kernels.library import common

        parts, layers, head = self.parts, self.parts.layers, self.parts.head
        steps = [_pack(parts, weights_of_training(parts), self._kept, self.threads)]
        steps += [self._forward(side, keep=True) for side in layers]
        if head:
            steps.append(self._head())
        steps.append(self._alone(common(parts.loss, parts.model.dtype), *self._loss()))
        if head:
            steps.append(self._products_of_head())
            goal = "d" + parts.features
            steps.append(self._dense("dprediction", [0], head.outputs, head.backward, goal, self._read_out))
        for layer in reversed(range(parts.model.layers)):
            sides = [side for side in layers if side.layer == layer]
            for side in sides:
                steps += [self._backward(side), self._products_of(side)]
            for n, side in enumerate(sides if layer else []):
                weights, run_at = side.to_inputs
                stride, goal = side.layout.slots * side.padded, f"dsequence.{layer}"
                tape, count = f"tape.{side.number}", self.T * self.B
                steps.append(self._dense(tape, run_at, stride, weights, goal, count, adds=n > 0))
        return steps

    def _forward(self, side: "Layer", keep: bool) -> Step:
        from rnnbench.kernels.call import FORWARD
        from rnnbench.kernels.tile import full_rows

        parts, slot, layout = self.parts, self.parts.table.slot, side.layout
        N = len(self.rows[0].order)
        widest = max(layout.stages, key=lambda stage: stage.accumulators)
        narrow = full_rows(layout.vector, widest.w, widest.r, widest.u) > N and side.inputs >= WIDE_INPUT and self.T > 1
        chunk = min(self.T, VISITS_AT_ONCE // N) if narrow else 0
        values: Values = {"packed": side.packed, "chunk": chunk, "x": slot(f"sequence.{side.layer}")}
        values |= {"start": slot("start"), "final": slot("final")}
        values |= {"state_stride": len(parts.layers) * self.B * side.H, "state_at": side.number * self.B * side.H}
        values |= self._readout(side, "")
        kept: Values = {name: slot(f"{name}.{side.number}") if keep else 0 for name in ("tape", "before")}
        sizes = side.kernels.forward_workspace
        return self._scan("forward", FORWARD, side, values | kept, lambda N: sizes(N, side.H, chunk))

    def _backward(self, side: "Layer") -> Step:
        from rnnbench.kernels.call import BACKWARD

        slot = self.parts.table.slot
        values: Values = {"packed": side.packed_back} | self._readout(side, "d")
        values |= {name: slot(f"{name}.{side.number}") for name in ("tape", "before")}
        sizes = side.kernels.backward_workspace
        return self._scan("backward", BACKWARD, side, values, lambda N: sizes(N, side.H))

    def _readout(self, side: "Layer", d: str) -> Values:
        """Where a layer's outputs go, or ("d") where their gradients lie."""
        model, slot = self.parts.model, self.parts.table.slot
        last = side.layer == model.layers - 1 and model.readout == "last"
        # Both slots exist in any case: what is not wanted has the stride 0.
        whole, ending = slot("last" if last else f"sequence.{side.layer + 1}"), slot("last")
        if d:
            whole, ending = slot("dlast" if last else f"dsequence.{side.layer + 1}"), slot("dlast")
        strides = {f"{d}y_stride": 0 if last else model.features, f"{d}last_stride": model.features if last else 0}
        return {f"{d}y": whole, f"{d}last": ending, f"{d}y_at": side.column, f"{d}last_at": side.column} | strides

    def _scan(
        self, name: str, kind: Any, side: "Layer", values: Values, workspace: Callable[[int], tuple[int, int, int]]
    ) -> Step:
        scratch, steps = self.parts.table.scratch, []
        values |= {"T": self.T, "B": self.B, "I": side.inputs, "H": side.H, "reverse": side.reverse}
        for thread in range(self.threads):
            share, unit = divmod(thread, self.by_units)
            rows = self.rows[share]
            work, own, index = workspace(len(rows.order))
            # Threads that share units have one place for the states, threads that share rows one each.
            spaces: Values = {"work": scratch((name, "work", share), work)}
            spaces["scratch"] = scratch((name, "scratch", thread), own)
            spaces["index"] = scratch((name, "index", thread), index, np.int64)
            spaces |= {"order": rows.order, "length": rows.length, "active": rows.active, "N": len(rows.order)}
            spaces |= self._shared(unit, self.by_units, thread)
            steps.append(self._step(getattr(side.kernels, name), kind, values | spaces))
        return steps

    def _head(self) -> Step:
        parts, head = self.parts, self.parts.head
        assert head is not None
        return self._dense(parts.features, [0], head.features, head.forward, "prediction", self._read_out)

    def _dense(
        self,
        source: str,
        run_at: Array | list[int],
        stride: int,
        weights: "Weights",
        out: str,
        count: int,
        adds: bool = False,
    ) -> Step:
        """out = source · weights for each of `count` rows, or added to it; see `call.DENSE`."""
        from rnnbench.kernels.call import DENSE
        from rnnbench.kernels.dense import dense_workspace

        slot, scratch = self.parts.table.slot, self.parts.table.scratch
        room, index = dense_workspace(np.dtype(self.parts.model.dtype))
        values: Values = {"count": count, "source": slot(source), "source_stride": stride}
        values |= {"run_at": np.asarray(run_at, np.int64), "runs": len(run_at), "K": weights.K, "w": weights.memory}
        values |= {"begin": weights.begin, "adds": adds, "out": slot(out), "outputs": weights.outputs}

        def spaces(thread: int) -> Values:
            return {
                "scratch": scratch(("dense", "scratch", thread), room),
                "index": scratch(("dense", "index", thread), index, np.int64),
            }

        return self._split("dense", DENSE, values, spaces)

    def _products_of(self, side: "Layer") -> Step:
        """dW, dR and db of a layer and direction."""
        padded, slot, fed = side.padded, self.parts.table.slot, []
        for source in side.sources:
            values: Values = {"source": slot(f"sequence.{side.layer}"), "at": 0, "stride": side.inputs}
            if source.kept is not None:
                values = {"source": slot(f"before.{side.number}"), "stride": padded}
                values["at"] = source.kept * self.T * self.B * padded
            fed.append((source, side.prefix + ("W" if source.kept is None else "R"), values))
        tape: Values = {"tape": slot(f"tape.{side.number}"), "tape_stride": side.layout.slots * padded, "Hp": padded}
        return self._products(side.slots, side.H, self.T * self.B, fed, side.prefix + "b", tape)

    def _products_of_head(self) -> Step:
        head, slot = self.parts.head, self.parts.table.slot
        assert head is not None
        values: Values = {"source": slot(self.parts.features), "at": 0, "stride": head.features}
        tape: Values = {"tape": slot("dprediction"), "tape_stride": head.outputs, "Hp": head.outputs}
        fed = [(head.source, "head.W", values)]
        return self._products(head.slots, head.outputs, self._read_out, fed, "head.b", tape)

    def _products(
        self, slots: Array, H: int, visits: int, fed: "list[tuple[Source, str, Values]]", bias: str, tape: Values
    ) -> Step:
        """Gradients of the parameter named with each source, and of the bias."""
        from rnnbench.kernels.call import FED, PRODUCTS
        from rnnbench.kernels.products import products_workspace

        parts, scratch = self.parts, self.parts.table.scratch
        inputs = [source.inputs for source, _, _ in fed]
        size, index = products_workspace(inputs, H, len(slots), np.dtype(parts.model.dtype))
        sources = [
            record(self._kept, FED, {"rows": s.rows, "inputs": s.inputs, "out_at": parts.places[name]} | values)
            for s, name, values in fed
        ]
        values: Values = {"visits": visits, "H": H, "slots": slots, "count": len(slots), "db_at": parts.places[bias]}
        values |= {"accumulators": np.arange(len(slots)), "gradient": parts.table.slot("gradient")}
        values |= {"sources": np.concatenate(sources) if sources else 0, "fed": len(sources)}

        def spaces(thread: int) -> Values:
            return {
                "scratch": scratch(("products", "scratch", thread), size),
                "index": scratch(("products", "index", thread), index, np.int64),
            }

        return self._split("products", PRODUCTS, tape | values, spaces)

    def _loss(self) -> tuple[Any, Values]:
        from rnnbench.kernels.call import LOSS

        parts, slot = self.parts, self.parts.table.slot
        values: Values = {
            "prediction": slot(parts.outputs),
            "target": slot("target"),
            "gradient": slot("d" + parts.outputs),
        }
        values |= {"lengths": self.lengths if parts.model.readout == "all" else 0, "B": self.B}
        values |= {"rows": self._read_out, "outputs": self.output_shape[-1], "value": self.value}
        values |= {"stop": parts.crew.stop}
        return LOSS, values

    def _adam(self) -> Step:
        from rnnbench.kernels.call import ADAM

        o, slot = self.parts.optimiser(), self.parts.table.slot
        values: Values = {"theta": o.theta, "gradient": slot("gradient"), "mean": o.mean, "square": o.square}
        values |= {"size": o.theta.size, "sums": np.zeros(self.threads), "pace": o.pace} | o.settings
        return self._split("adam", ADAM, values, lambda thread: self._shared(thread, self.threads, thread))

    # --- records ------------------------------------------------------------------------------------------------------

    def _shared(self, part: int, count: int, thread: int) -> Values:
        crew = self.parts.crew
        return {"part": part, "parts": count, "barrier": crew.barrier, "mine": crew.mine[thread]}

    def _split(self, name: str, kind: Any, values: Values, own: Callable[[int], Values]) -> Step:
        """A kernel that does not depend on the cell, shared by all threads."""
        from rnnbench.kernels.library import common

        kernel = common(name, self.parts.model.dtype)
        parts = [{"part": thread, "parts": self.threads} | own(thread) for thread in range(self.threads)]
        return [self._step(kernel, kind, values | part) for part in parts]

    def _alone(self, kernel: Any, kind: Any, values: Values) -> Step:
        """A kernel that the first thread runs while the others wait."""
        return [self._step(kernel, kind, values), *[(0, 0)] * (self.threads - 1)]

    def _step(self, kernel: Any, kind: Any, values: Values) -> tuple[int, int]:
        from rnnbench.kernels.program import entry

        return entry(kernel), record(self._kept, kind, values).ctypes.data


def weights_of_inference(parts: Parts) -> list[Values]:
    head = parts.head.forward.sections if parts.head else []
    return [*(section for side in parts.layers for section in side.packing), *head]


def weights_of_training(parts: Parts) -> list[Values]:
    back = [section for side in parts.layers for section in side.packing_back]
    for side in parts.layers:
        if side.layer:
            back += side.to_inputs[0].sections
    head = parts.head.backward.sections if parts.head else []
    return [*weights_of_inference(parts), *back, *head]


def record(kept: list[Any], kind: Any, values: Values) -> Array:
    """A record with every field from `values`; of an array its address, and `kept` keeps it."""
    fields = (values[name] for name in kind.names)
    made = np.array([tuple(v.ctypes.data if isinstance(v, np.ndarray) else v for v in fields)], kind)
    kept += [values, made]
    return made


def _pack(parts: Parts, sections: list[Values], kept: list[Any], threads: int) -> Step:
    from rnnbench.kernels.call import PACK, SECTION
    from rnnbench.kernels.library import common
    from rnnbench.kernels.program import entry

    places = np.concatenate([record(kept, SECTION, section) for section in sections])
    steps = []
    for part in range(threads):
        values: Values = {"part": part, "parts": threads, "sections": places, "count": len(places)}
        steps.append((entry(common("pack", parts.model.dtype)), record(kept, PACK, values).ctypes.data))
    return steps


def _program(crew: Crew, kept: list[Any], steps: list[Step], last: int) -> Program:
    """The threads' shares of `steps`, one after the other; the step number `last` may turn out to be the last."""
    from rnnbench.kernels.call import RUN

    addresses, threads = [], len(steps[0])
    for thread in range(threads):
        entries = np.array([step[thread] for step in steps], np.int64)
        values: Values = {"entries": entries, "count": len(entries), "parts": threads, "stop": crew.stop}
        values |= {"barrier": crew.barrier, "mine": crew.mine[thread]}
        addresses.append(record(kept, RUN, values | {"last": last}).ctypes.data)
    return Program(tuple(addresses), (kept, crew.barrier, crew.mine, crew.stop))
