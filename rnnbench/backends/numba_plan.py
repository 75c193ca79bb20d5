"""What stays the same from one call of a size to the next, in the `numba` backend: its programs, and their memory."""

from collections.abc import Callable
from typing import Any

from rnnbench.backends.numba_crew import Program
from rnnbench.backends.numba_shares import Rows, shares
from rnnbench.backends.numba_steps import Parts, Step, Steps, pack, program, weights_of_inference, weights_of_training
from rnnbench.model import Array

PLANS_KEPT = 16  # sizes of call whose plans and scratch memory stay
NEVER = -1  # the place of a step that ends a program, where none does


def packing(parts: Parts) -> Program:
    """Packs all weights that inference needs, on one thread."""
    kept: list[Any] = []
    return program(parts.crew, kept, [pack(parts, weights_of_inference(parts), kept, 1)], NEVER)


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
        """Into how many parts the rows, and the units, are divided."""
        return shares(self.parts.model, self.parts.layers[-1], self.threads, T, B)


class Plan:
    """Calls of T steps and B rows, whose threads share the rows or the units. Programs are made when first asked for.

    value float64 [1]: where a program leaves the loss.
    """

    def __init__(self, parts: Parts, T: int, B: int, by_rows: int, by_units: int) -> None:
        self.parts, self.T, self.B = parts, T, B
        self.rows = Rows.split(T, B, None, by_rows)
        self.steps = Steps(parts, T, B, self.rows, by_units)
        self.value = self.steps.value
        outputs = self.steps.outputs
        self.output_shape: tuple[int, ...] = (B, outputs) if parts.model.readout == "last" else (T, B, outputs)
        self._ragged = False
        self._programs: dict[str | int, Program] = {}

    def take(self, lengths: Array | None) -> None:
        """The rows' lengths of the next call; None: all T."""
        if lengths is None and not self._ragged:
            return
        self._ragged = lengths is not None
        self.steps.lengths[...] = self.T if lengths is None else lengths
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
        return self._made("training", lambda: [*self._differentiation(), self.steps.adam()], self._loss_at)

    def _made(self, name: str | int, steps: Callable[[], list[Step]], last: int = NEVER) -> Program:
        if name not in self._programs:
            self._programs[name] = program(self.parts.crew, self.steps.kept, steps(), last)
        return self._programs[name]

    def make_room(self) -> None:
        """Memory for everything that training keeps until its step is done; none is smaller than another plan wants."""
        parts, model, T, B = self.parts, self.parts.model, self.T, self.B
        if parts.table.rooms_of is self:
            return
        parts.table.rooms_of = None  # until all are made: who fails at one leaves slots that nobody may use
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
        parts.table.rooms_of = self

    # --- their steps --------------------------------------------------------------------------------------------------

    def _inference(self, layer: int) -> list[Step]:
        steps = [self.steps.forward(side, keep=False) for side in self.parts.layers if side.layer == layer]
        return [*steps, self.steps.head()] if self.parts.head and layer == self.parts.model.layers - 1 else steps

    def _differentiation(self) -> list[Step]:
        parts, layers, head = self.parts, self.parts.layers, self.parts.head
        steps = [pack(parts, weights_of_training(parts), self.steps.kept, self.steps.threads)]
        steps += [self.steps.forward(side, keep=True) for side in layers]
        if head:
            steps.append(self.steps.head())
        steps.append(self.steps.loss())
        if head:
            steps.append(self.steps.products_of_head())
            steps.append(self.steps.through_head())
        for layer in reversed(range(parts.model.layers)):
            sides = [side for side in layers if side.layer == layer]
            for side in sides:
                steps += [self.steps.backward(side), self.steps.products_of(side)]
            if layer:
                steps += [self.steps.to_inputs(side, adds=side is not sides[0]) for side in sides]
        return steps

    @property
    def _loss_at(self) -> int:
        """The loss's place in `_differentiation`: behind the packing, the layers and the head."""
        return 1 + len(self.parts.layers) + (self.parts.head is not None)
