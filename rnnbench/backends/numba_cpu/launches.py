"""The launches of programs: for each thread which kernel, and the record of its arguments.

Slots have names: sequence.N, what layer N reads (and, of the layer above the last, what that one writes); last, its
rows' last h; tape.N and before.N, what layer and direction N keeps for training; start, final, target, prediction and
gradient. The gradient of a slot is named d and its name.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnbench.backends.numba_cpu.partition import Rows
from rnnbench.backends.numba_cpu.thread_team import Program, ThreadTeam
from rnnbench.backends.numba_cpu.workspace import INT64, Workspace
from rnnbench.kernels.args import (
    AdamArgs,
    DenseArgs,
    ForwardArgs,
    LossArgs,
    OperandArgs,
    PackArgs,
    PreGradientArgs,
    ProductsArgs,
    RunArgs,
    ScanArgs,
    Scratch,
    SectionArgs,
    Share,
)
from rnnbench.kernels.compiled import Sizes, common
from rnnbench.kernels.dense import dense_workspace
from rnnbench.kernels.layer import PackedHead, PackedLayer, PackedWeights
from rnnbench.kernels.products import products_workspace
from rnnbench.kernels.program import entry_point
from rnnbench.kernels.records import KernelArgs, Records, record
from rnnbench.kernels.target import Jitted
from rnnbench.kernels.tile import full_rows
from rnnbench.model import Array, Model
from rnnbench.training import Adam

# Inputs this wide are multiplied by W for many steps at once when a batch alone would not fill the tile.
WIDE_INPUT, VISITS_AT_ONCE = 16, 24
NEVER = -1  # the number of the launch that may end a program, where none may


# One thread's part of a launch: a kernel's address and its arguments, or nothing: the thread only waits.
Entry = tuple[int, Records[KernelArgs]] | None
Launch = list[Entry]  # of all threads


@dataclass(frozen=True)
class Optimiser:
    """Adam's memory, flat [parameters]; scales float64 [2]: `Adam.scales` of a step; steps int64 [1]: taken so far."""

    settings: Adam
    theta: Array
    mean: Array
    square: Array
    scales: Array
    steps: Array


@dataclass(frozen=True)
class Context:
    """What plans are made of: the session's model, layers, head and memory, and where gradients lie in the flat one."""

    model: Model
    layers: Sequence[PackedLayer]
    head: PackedHead | None
    workspace: Workspace
    team: ThreadTeam
    places: dict[str, int]
    loss: str
    optimiser: Optimiser

    @cached_property
    def features(self) -> str:
        """Return the slot of what the head reads: the last layer's sequence, or its rows' last h."""
        return "last" if self.model.readout == "last" else f"sequence.{self.model.layers}"

    @cached_property
    def outputs(self) -> str:
        """Return the slot of what a call returns."""
        return "prediction" if self.head else self.features

    def weights_of_inference(self) -> list[SectionArgs]:
        """Return the sections that pack what inference reads."""
        head = self.head.forward.sections if self.head else []
        return [*(section for side in self.layers for section in side.packing), *head]

    def weights_of_training(self) -> list[SectionArgs]:
        """Return the sections that pack what a training step reads."""
        back = [section for side in self.layers for section in side.packing_back]
        for side in self.layers:
            if side.layer:
                back += side.to_inputs.sections
        head = self.head.backward.sections if self.head else []
        return [*self.weights_of_inference(), *back, *head]


class Launches:
    """The launches of calls of T steps and B rows, whose threads share `rows` or the units.

    lengths int64 [B]: the rows' lengths; value float64 [1]: where the loss is left.
    """

    def __init__(self, context: Context, T: int, B: int, rows: list[Rows], by_units: int) -> None:
        self.context, self.T, self.B, self.rows, self.by_units = context, T, B, rows, by_units
        self.threads = len(rows) * by_units
        self.lengths = np.full(B, T, np.int64)
        self.value = np.zeros(1)
        self.read_out = B if context.model.readout == "last" else T * B  # visits that the model's outputs are of
        self.outputs = context.model.output_size or context.model.features

    # --- layers -------------------------------------------------------------------------------------------------------

    def forward(self, side: PackedLayer, keep: bool) -> Launch:
        """Return the forward scan of a layer and direction; keep: what training needs."""
        slot, layout = self.context.workspace.slot, side.layout
        N = len(self.rows[0].order)
        widest = max(layout.stages, key=lambda stage: stage.accumulators)
        narrow = full_rows(layout.vector, *widest.masks) > N and side.inputs >= WIDE_INPUT and self.T > 1
        chunk = min(self.T, VISITS_AT_ONCE // N) if narrow else 0
        scan = side.kernels.forward

        def args(part: ScanArgs) -> ForwardArgs:
            return ForwardArgs(
                scan=part, x=slot(f"sequence.{side.layer}"), start=slot("start"), final=slot("final"),
                state_stride=len(self.context.layers) * self.B * side.H, state_at=side.number * self.B * side.H,
                chunk=chunk,
            )  # fmt: skip

        parts = self._scans("forward", side, side.packed, lambda N: scan.workspace(N, side.H, chunk), keep)
        return [entry(scan.kernel, args(part)) for part in parts]

    def backward(self, side: PackedLayer) -> Launch:
        """Return the backward scan of a layer and direction."""
        scan = side.kernels.backward
        parts = self._scans("backward", side, side.packed_back, lambda N: scan.workspace(N, side.H), True)
        return [entry(scan.kernel, part) for part in parts]

    def _scans(
        self, name: str, side: PackedLayer, packed: Array, workspace: Callable[[int], Sizes], keep: bool
    ) -> Iterator[ScanArgs]:
        """Yield each thread's part of a scan."""
        scratch, slot, team = self.context.workspace.scratch, self.context.workspace.slot, self.context.team
        model, d = self.context.model, "d" if name == "backward" else ""
        last = side.layer == model.layers - 1 and model.readout == "last"
        for thread in range(self.threads):
            part, unit = divmod(thread, self.by_units)
            rows = self.rows[part]
            work, *own = workspace(len(rows.order))
            yield ScanArgs(
                share=team.share(unit, self.by_units, thread),
                own=self._own(name, thread, *own),
                # Threads that share units have one place for the states, threads that share rows one each.
                work=scratch((name, "work", part), work), packed=packed,
                order=rows.order, length=rows.length, active=rows.active, N=len(rows.order),
                tape=slot(f"tape.{side.number}") if keep else None,
                before=slot(f"before.{side.number}") if keep else None,
                T=self.T, B=self.B, I=side.inputs, H=side.H, reverse=side.reverse,
                # Both slots exist in any case: what is not wanted has the stride 0.
                y=slot(f"{d}last" if last else f"{d}sequence.{side.layer + 1}"), last=slot(f"{d}last"),
                y_stride=0 if last else model.features, last_stride=model.features if last else 0,
                y_at=side.column, last_at=side.column,
            )  # fmt: skip

    # --- products without time ----------------------------------------------------------------------------------------

    def head(self, head: PackedHead) -> Launch:
        """Return the head's outputs from the features."""
        return self._dense(self.context.features, head.features, head.forward, "prediction", self.read_out)

    def through_head(self, head: PackedHead) -> Launch:
        """Return the features' gradient."""
        out = f"d{self.context.features}"
        return self._dense("dprediction", head.outputs, head.backward, out, self.read_out)

    def to_inputs(self, side: PackedLayer, adds: bool) -> Launch:
        """Return the gradient of what a layer reads, from its tape; a second direction's is added to the first's."""
        stride, out = side.layout.slots * side.padded, f"dsequence.{side.layer}"
        return self._dense(f"tape.{side.number}", stride, side.to_inputs, out, self.T * self.B, adds)

    def _dense(
        self, source: str, stride: int, weights: PackedWeights, out: str, count: int, adds: bool = False
    ) -> Launch:
        """Return out = source · weights for each of `count` rows, or added to it; see `DenseArgs`."""
        slot, runs = self.context.workspace.slot, weights.run_at
        sizes = dense_workspace(np.dtype(self.context.model.dtype))

        def args(share: Share) -> DenseArgs:
            return DenseArgs(
                share=share, own=self._own("dense", share.part, *sizes), count=count, source=slot(source),
                source_stride=stride, run_at=runs, runs=len(runs), K=weights.K, w=weights.memory, begin=weights.begin,
                adds=adds, out=slot(out), outputs=weights.outputs,
            )  # fmt: skip

        return self._split("dense", args)

    # --- gradients of parameters --------------------------------------------------------------------------------------

    def products_of(self, side: PackedLayer) -> Launch:
        """Return dW, dR and db of a layer and direction."""
        slot, padded, visits = self.context.workspace.slot, side.padded, self.T * self.B
        operands = []
        for kept, rows in side.operands.items():
            if kept is None:
                source, at, stride, inputs, name = f"sequence.{side.layer}", 0, side.inputs, side.inputs, "W"
            else:
                source, at, stride, inputs, name = f"before.{side.number}", kept * visits * padded, padded, side.H, "R"
            out_at = self.context.places[side.prefix + name]
            operands.append(
                OperandArgs(source=slot(source), at=at, stride=stride, inputs=inputs, rows=rows, out_at=out_at)
            )
        gradients = PreGradientArgs(
            visits=visits, tape=slot(f"tape.{side.number}"), tape_stride=side.layout.slots * padded, Hp=padded,
            H=side.H, count=len(side.slots), slots=side.slots, accumulators=np.arange(len(side.slots)),
        )  # fmt: skip
        return self._products(gradients, operands, side.prefix + "b")

    def products_of_head(self, head: PackedHead) -> Launch:
        """Return the gradients of the head's W and b."""
        slot = self.context.workspace.slot
        O, I, first = head.outputs, head.features, np.zeros(1, np.int64)
        operand = OperandArgs(
            source=slot(self.context.features),
            at=0,
            stride=I,
            inputs=I,
            rows=first,
            out_at=self.context.places["head.W"],
        )
        gradients = PreGradientArgs(
            visits=self.read_out, tape=slot("dprediction"), tape_stride=O, Hp=O, H=O,
            count=1, slots=first, accumulators=first,
        )  # fmt: skip
        return self._products(gradients, [operand], "head.b")

    def _products(self, gradients: PreGradientArgs, operands: list[OperandArgs], bias: str) -> Launch:
        inputs, dtype = [operand.inputs for operand in operands], np.dtype(self.context.model.dtype)
        sizes = products_workspace(inputs, gradients.H, gradients.count, dtype)
        records, gradient = Records(OperandArgs, operands), self.context.workspace.slot("gradient")

        def args(share: Share) -> ProductsArgs:
            return ProductsArgs(
                share=share, own=self._own("products", share.part, *sizes), gradients=gradients,
                operands=records, operand_count=len(records), gradient=gradient, db_at=self.context.places[bias],
            )  # fmt: skip

        return self._split("products", args)

    # --- the loss, and what follows from it ---------------------------------------------------------------------------

    def loss(self) -> Launch:
        """Return the loss: the first thread's while the others wait."""
        context, slot = self.context, self.context.workspace.slot
        args = LossArgs(
            prediction=slot(context.outputs), target=slot("target"), gradient=slot(f"d{context.outputs}"),
            lengths=self.lengths if context.model.readout == "all" else None, B=self.B, rows=self.read_out,
            outputs=self.outputs, value=self.value, stop=context.team.stop,
        )  # fmt: skip
        first = entry(common(context.loss, context.model.dtype), args)
        return [first, *[None] * (self.threads - 1)]

    def adam(self) -> Launch:
        """Return Adam's step."""
        o, sums, gradient = self.context.optimiser, np.zeros(self.threads), self.context.workspace.slot("gradient")
        settings, team = o.settings, self.context.team
        clip = math.inf if settings.clip_norm is None else settings.clip_norm

        def args(share: Share) -> AdamArgs:
            return AdamArgs(
                share=team.share(share.part, share.parts, share.part), theta=o.theta, gradient=gradient,
                mean=o.mean, square=o.square, size=o.theta.size, sums=sums, scales=o.scales, steps=o.steps, clip=clip,
                beta1=settings.beta1, beta2=settings.beta2, epsilon=settings.epsilon,
            )  # fmt: skip

        return self._split("adam", args)

    def pack(self) -> Launch:
        """Return what puts all weights where a training step reads them."""
        return pack(self.context, self.context.weights_of_training(), self.threads)

    # --- entries ------------------------------------------------------------------------------------------------------

    def _own(self, name: str, thread: int, scratch: int, index: int) -> Scratch:
        """Return a thread's own scratch memory for a kernel."""
        get = self.context.workspace.scratch
        return Scratch(
            scratch=get((name, "scratch", thread), scratch), index=get((name, "index", thread), index, INT64)
        )

    def _split(self, name: str, args: Callable[[Share], KernelArgs]) -> Launch:
        """Return a kernel that does not depend on the cell, shared by all threads."""
        kernel = common(name, self.context.model.dtype)
        shares = [Share(part=thread, parts=self.threads) for thread in range(self.threads)]
        return [entry(kernel, args(share)) for share in shares]


def entry(kernel: Jitted, args: KernelArgs) -> Entry:
    """Return a kernel's entry."""
    return entry_point(kernel), record(args)


def pack(context: Context, sections: list[SectionArgs], threads: int) -> Launch:
    """Return what puts weights where the kernels read them; threads share the panels."""
    kernel, records = common("pack", context.model.dtype), Records(SectionArgs, sections)
    shares = [Share(part=part, parts=threads) for part in range(threads)]
    return [entry(kernel, PackArgs(share=share, sections=records, count=len(records))) for share in shares]


def program(team: ThreadTeam, launches: list[Launch], last: int = NEVER) -> Program:
    """Return the threads' shares of `launches`, one after the other; launch number `last` may turn out the last."""
    threads, runs = len(launches[0]), []
    for thread in range(threads):
        mine = [launch[thread] for launch in launches]
        entries = np.array([(one[0], one[1].address) if one else (0, 0) for one in mine], np.int64)
        share = team.share(thread, threads, thread)
        runs.append(record(RunArgs(share=share, entries=entries, count=len(entries), last=last, stop=team.stop)))
    return Program(tuple(run.address for run in runs), (launches, runs))
