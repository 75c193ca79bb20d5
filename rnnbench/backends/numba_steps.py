"""The steps of the `numba` backend's programs: which kernel, and the record that tells it what to do, for each thread.

Slots have names: sequence.N, what layer N reads (and, of the layer above the last, what that one writes); last, its
rows' last h; tape.N and before.N, what layer and direction N keeps for training; start, final, target, prediction and
gradient. The gradient of a slot is named d and its name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.backends.numba_crew import Crew, Program
from rnnbench.backends.numba_shares import Rows
from rnnbench.backends.numba_table import Table
from rnnbench.model import Array, Model

if TYPE_CHECKING:
    from rnnbench.kernels.layer import Head, Layer, Source, Weights

# Inputs this wide are multiplied by W for many steps at once when a batch alone would not fill the tile.
WIDE_INPUT, VISITS_AT_ONCE = 16, 24

Values = dict[str, Any]
Step = list[tuple[int, int]]  # for each thread a kernel's and its record's addresses, or zeros


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
    optimiser: Optimiser

    @cached_property
    def features(self) -> str:
        """The slot of what the head reads: the last layer's sequence, or its rows' last h."""
        return "last" if self.model.readout == "last" else f"sequence.{self.model.layers}"

    @cached_property
    def outputs(self) -> str:
        """The slot of what a call returns."""
        return "prediction" if self.head else self.features


class Steps:
    """Those of calls of T steps and B rows, whose threads share `rows` or the units.

    lengths int64 [B]: the rows' lengths; value float64 [1]: where the loss is left; kept: the memory that records point
    at.
    """

    def __init__(self, parts: Parts, T: int, B: int, rows: list[Rows], by_units: int) -> None:
        self.parts, self.T, self.B, self.rows, self.by_units = parts, T, B, rows, by_units
        self.threads = len(rows) * by_units
        self.lengths = np.full(B, T, np.int64)
        self.value = np.zeros(1)
        self.read_out = B if parts.model.readout == "last" else T * B  # visits that the model's outputs are of
        self.outputs = parts.model.output_size or parts.model.features
        self.kept: list[Any] = []

    def forward(self, side: "Layer", keep: bool) -> Step:
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

    def backward(self, side: "Layer") -> Step:
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

    def head(self) -> Step:
        parts, head = self.parts, self.parts.head
        assert head is not None
        return self._dense(parts.features, [0], head.features, head.forward, "prediction", self.read_out)

    def through_head(self) -> Step:
        """The features' gradient."""
        head, goal = self.parts.head, "d" + self.parts.features
        assert head is not None
        return self._dense("dprediction", [0], head.outputs, head.backward, goal, self.read_out)

    def to_inputs(self, side: "Layer", adds: bool) -> Step:
        """The gradient of what a layer reads, from its tape; of a second direction it is added to the first's."""
        weights, run_at = side.to_inputs
        stride, goal = side.layout.slots * side.padded, f"dsequence.{side.layer}"
        return self._dense(f"tape.{side.number}", run_at, stride, weights, goal, self.T * self.B, adds)

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

    def products_of(self, side: "Layer") -> Step:
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

    def products_of_head(self) -> Step:
        head, slot = self.parts.head, self.parts.table.slot
        assert head is not None
        values: Values = {"source": slot(self.parts.features), "at": 0, "stride": head.features}
        tape: Values = {"tape": slot("dprediction"), "tape_stride": head.outputs, "Hp": head.outputs}
        fed = [(head.source, "head.W", values)]
        return self._products(head.slots, head.outputs, self.read_out, fed, "head.b", tape)

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
            record(self.kept, FED, {"rows": s.rows, "inputs": s.inputs, "out_at": parts.places[name]} | values)
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

    def loss(self) -> Step:
        """The first thread's while the others wait."""
        from rnnbench.kernels.call import LOSS
        from rnnbench.kernels.library import common

        parts, slot = self.parts, self.parts.table.slot
        values: Values = {
            "prediction": slot(parts.outputs),
            "target": slot("target"),
            "gradient": slot("d" + parts.outputs),
        }
        values |= {"lengths": self.lengths if parts.model.readout == "all" else 0, "B": self.B}
        values |= {"rows": self.read_out, "outputs": self.outputs, "value": self.value}
        values |= {"stop": parts.crew.stop}
        first = self._step(common(parts.loss, parts.model.dtype), LOSS, values)
        return [first, *[(0, 0)] * (self.threads - 1)]

    def adam(self) -> Step:
        from rnnbench.kernels.call import ADAM

        o, slot = self.parts.optimiser, self.parts.table.slot
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

    def _step(self, kernel: Any, kind: Any, values: Values) -> tuple[int, int]:
        from rnnbench.kernels.program import entry

        return entry(kernel), record(self.kept, kind, values).ctypes.data


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


def pack(parts: Parts, sections: list[Values], kept: list[Any], threads: int) -> Step:
    """Puts weights where the kernels read them; threads share the panels."""
    from rnnbench.kernels.call import PACK, SECTION
    from rnnbench.kernels.library import common
    from rnnbench.kernels.program import entry

    places = np.concatenate([record(kept, SECTION, section) for section in sections])
    steps = []
    for part in range(threads):
        values: Values = {"part": part, "parts": threads, "sections": places, "count": len(places)}
        steps.append((entry(common("pack", parts.model.dtype)), record(kept, PACK, values).ctypes.data))
    return steps


def program(crew: Crew, kept: list[Any], steps: list[Step], last: int) -> Program:
    """The threads' shares of `steps`, one after the other; the step number `last` may turn out to be the last."""
    from rnnbench.kernels.call import RUN

    addresses, threads = [], len(steps[0])
    for thread in range(threads):
        entries = np.array([step[thread] for step in steps], np.int64)
        values: Values = {"entries": entries, "count": len(entries), "parts": threads, "stop": crew.stop}
        values |= {"barrier": crew.barrier, "mine": crew.mine[thread]}
        addresses.append(record(kept, RUN, values | {"last": last}).ctypes.data)
    return Program(tuple(addresses), (kept, crew.barrier, crew.mine, crew.stop))
