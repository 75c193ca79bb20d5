"""What stays the same from one call of a size to the next: its programs, and their memory."""

from collections.abc import Callable

from rnnbench.backends.numba_cpu.launches import NEVER, Context, Launch, Launches, program
from rnnbench.backends.numba_cpu.partition import Rows, partition
from rnnbench.backends.numba_cpu.thread_team import Program
from rnnbench.model import Array

PLANS_KEPT = 16  # sizes of call whose plans and scratch memory stay


class Planner:
    """The plans of one session, and how many threads they take."""

    def __init__(self, context: Context, threads: int) -> None:
        self.context, self.threads = context, threads
        self._plans: dict[tuple[int, int], CallPlan] = {}

    def plan(self, T: int, B: int, lengths: Array | None) -> "CallPlan":
        """Return the plan of calls of T steps and B rows, set to these lengths."""
        plan = self._plans.get((T, B))
        if plan is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            parts = partition(self.context.model, self.context.layers[-1], self.threads, T, B)
            plan = self._plans[T, B] = CallPlan(self.context, T, B, *parts)
        plan.set_lengths(lengths)
        return plan


class CallPlan:
    """Calls of T steps and B rows, whose threads share the rows or the units. Programs are made when asked for."""

    def __init__(self, context: Context, T: int, B: int, by_rows: int, by_units: int) -> None:
        self.context, self.T, self.B = context, T, B
        self.rows = Rows.split(T, B, None, by_rows)
        self.launches = Launches(context, T, B, self.rows, by_units)
        outputs = self.launches.outputs
        self.output_shape: tuple[int, ...] = (B, outputs) if context.model.readout == "last" else (T, B, outputs)
        self._ragged = False
        self._programs: dict[str | int, Program] = {}

    def set_lengths(self, lengths: Array | None) -> None:
        """Set the rows' lengths of the next call; None: all T."""
        if lengths is None and not self._ragged:
            return
        self._ragged = lengths is not None
        self.launches.lengths[...] = self.T if lengths is None else lengths
        for mine, theirs in zip(self.rows, Rows.split(self.T, self.B, lengths, len(self.rows)), strict=True):
            mine.copy_from(theirs)

    # --- programs -----------------------------------------------------------------------------------------------------

    def layer(self, number: int) -> Program:
        """Return inference of one layer, in both directions, and of the head behind the last."""
        program = self._programs.get(number)
        return program or self._made(number, lambda: self._inference(number))

    def all_layers(self) -> Program:
        """Return inference of all layers, with nothing between them."""
        return self._made(
            "all layers", lambda: [s for n in range(self.context.model.layers) for s in self._inference(n)]
        )

    def gradients(self) -> Program:
        """Return the loss and its gradients, from weights as they are."""
        return self._made("gradients", self._differentiation, self._loss_at)

    def training(self) -> Program:
        """Return one step of training: `gradients`, and Adam."""
        return self._made("training", lambda: [*self._differentiation(), self.launches.adam()], self._loss_at)

    def _made(self, name: str | int, launches: Callable[[], list[Launch]], last: int = NEVER) -> Program:
        if name not in self._programs:
            self._programs[name] = program(self.context.team, launches(), last)
        return self._programs[name]

    def allocate(self) -> None:
        """Make memory for everything that training keeps until its step is done; none is smaller than another plan
        wants."""
        context, model, T, B = self.context, self.context.model, self.T, self.B
        if context.workspace.buffers_of is self:
            return
        context.workspace.buffers_of = None  # until all are made: who fails at one leaves slots that nobody may use
        buffer, sequence = context.workspace.buffer, (T, B, model.features)
        for side in context.layers:
            multiplied = side.layout.states + len(side.layout.stages) - 1  # by R: states and stages' results
            buffer(f"tape.{side.number}", (T, B, side.layout.slots, side.padded))
            buffer(f"before.{side.number}", (multiplied, T, B, side.padded))
        for layer in range(1, model.layers + (model.readout == "all")):
            buffer(f"sequence.{layer}", sequence)
            buffer(f"dsequence.{layer}", sequence)
        if model.readout == "last":
            buffer("last", (B, model.features))
            buffer("dlast", (B, model.features))
        if context.head:
            buffer("prediction", self.output_shape)
            buffer("dprediction", self.output_shape)
        buffer("final", (len(model.spec.states), len(context.layers), B, model.hidden_size))
        context.workspace.buffers_of = self

    # --- their launches -----------------------------------------------------------------------------------------------

    def _inference(self, layer: int) -> list[Launch]:
        launches, head = self.launches, self.context.head
        scans = [launches.forward(side, keep=False) for side in self.context.layers if side.layer == layer]
        return [*scans, launches.head(head)] if head and layer == self.context.model.layers - 1 else scans

    def _differentiation(self) -> list[Launch]:
        launches, layers, head = self.launches, self.context.layers, self.context.head
        found = [launches.pack(), *(launches.forward(side, keep=True) for side in layers)]
        if head:
            found.append(launches.head(head))
        found.append(launches.loss())
        if head:
            found += [launches.products_of_head(head), launches.through_head(head)]
        for layer in reversed(range(self.context.model.layers)):
            sides = [side for side in layers if side.layer == layer]
            for side in sides:
                found += [launches.backward(side), launches.products_of(side)]
            if layer:
                found += [launches.to_inputs(side, adds=side is not sides[0]) for side in sides]
        return found

    @property
    def _loss_at(self) -> int:
        """Return the loss's place in `_differentiation`: behind the packing, the layers and the head."""
        return 1 + len(self.context.layers) + (self.context.head is not None)
