"""What the plans of a session are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rnnbench.backends.numba_cpu.thread_team import ThreadTeam
from rnnbench.backends.numba_cpu.workspace import Workspace
from rnnbench.kernels.args import SectionArgs
from rnnbench.kernels.layer import PackedHead, PackedLayer
from rnnbench.model import Array, Model
from rnnbench.training import Adam


@dataclass(frozen=True)
class Optimiser:
    """Adam's memory, flat [parameters]; scales float64 [2]: `Adam.scales` of this step."""

    settings: Adam
    theta: Array
    mean: Array
    square: Array
    scales: Array


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
                back += side.to_inputs[0].sections
        head = self.head.backward.sections if self.head else []
        return [*self.weights_of_inference(), *back, *head]
