"""A model on the device: its parameters, layers and head, forwards, backwards and one step of Adam.

Nothing here waits for the device or copies from it; `backends/numba_cuda.py` does.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from rnnbench.kernels.cuda import library
from rnnbench.kernels.cuda.large import ADD, ADD_BIAS
from rnnbench.kernels.cuda.layer import Layer
from rnnbench.kernels.cuda.matrix import Matrix, Products
from rnnbench.kernels.cuda.memory import Memory
from rnnbench.kernels.cuda.target import upload, zeros
from rnnbench.model import Array, Model, Params, Shape
from rnnbench.training import Adam

NORM_BLOCKS = library.NORM_BLOCKS


class Stack:
    """memory holds by name: "x" [T, B, I], which the caller fills, "prediction" [rows, O] of the head, "dprediction",
    which the caller fills before `run_back` (the gradient of the prediction; without a head, of the features), and what
    lies between. lengths: int64 [B] under "lengths". rows are T * B for readout "all", else B. All is flat.
    """

    def __init__(self, model: Model, params: Params) -> None:
        self.model, self.dtype = model, np.dtype(model.dtype)
        self.shapes: dict[str, Shape] = model.parameter_shapes()
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.at: dict[str, int] = dict(zip(self.shapes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self.size = sum(sizes)
        self.theta = upload(np.concatenate([params[name].ravel() for name in self.shapes]))
        self.memory, self.lengths = Memory(self.dtype), Memory(np.dtype(np.int64))
        self._products = Products(model.dtype)
        self.layers = [
            Layer(model, number, layer, reverse, self._starts(prefix), self._products)
            for number, (layer, reverse, prefix) in enumerate(model.prefixes())
        ]

    def _starts(self, prefix: str) -> dict[str, int]:
        return {letter: self.at.get(prefix + letter, 0) for letter in "WRb"}

    @cached_property
    def gradient(self) -> Any:
        """Of every parameter, as `theta` has them."""
        return zeros(self.size, self.dtype)

    @cached_property
    def _moments(self) -> tuple[Any, Any]:
        return zeros(self.size, self.dtype), zeros(self.size, self.dtype)

    @cached_property
    def _norm_parts(self) -> Any:
        return zeros(NORM_BLOCKS * library.squares(self.model.dtype).threads, np.float64)

    def views(self, flat: Array) -> Params:
        """Parameters, or their gradients, by name: canonical layouts over one flat array."""
        ends = {name: at + int(np.prod(self.shapes[name])) for name, at in self.at.items()}
        return {name: flat[at : ends[name]].reshape(self.shapes[name]) for name, at in self.at.items()}

    def rows(self, T: int, B: int) -> int:
        return T * B if self.model.readout == "all" else B

    def features(self, T: int, B: int) -> Iterator[tuple[Matrix, int, int]]:
        """(rows [rows, columns], first column, columns) of each piece of the features [rows, D*H]."""
        model = self.model
        if model.readout == "all":
            yield Matrix(self.memory[f"y{model.layers - 1}"], 0, model.features, 1), 0, model.features
            return
        for side in self._sides(model.layers - 1):
            yield Matrix(side.work, side.final_at(B), side.H, 1), side.column, side.H

    def _sides(self, layer: int) -> list[Layer]:
        D = self.model.directions
        return self.layers[layer * D : (layer + 1) * D]

    def _input(self, layer: int) -> Any:
        return self.memory[f"y{layer - 1}" if layer else "x"]

    def begin(self, start: Array | None, B: int) -> None:
        """The initial states [state, L*D, B, H]; zeros for None."""
        for side in self.layers:
            side.begin(None if start is None else start[:, side.number], B)

    def run(self, T: int, B: int, keep: bool) -> None:
        """All layers, then the head. keep: whether `run_back` will follow."""
        model = self.model
        for layer in range(model.layers):
            wanted = layer < model.layers - 1 or model.readout == "all"
            y = self.memory.need(f"y{layer}", T * B * model.features) if wanted else None
            for side in self._sides(layer):
                side.forward(self.theta, self._input(layer), y, self.lengths["lengths"], T, B, keep)
        if model.output_size is not None:
            self._run_head(model.output_size, T, B)

    def _run_head(self, O: int, T: int, B: int) -> None:
        rows = self.rows(T, B)
        out = Matrix(self.memory.need("prediction", rows * O), 0, O, 1)
        bias = Matrix(self.theta, self.at["head.b"], 0, 0)
        for piece, column, columns in self.features(T, B):
            W = Matrix(self.theta, self.at["head.W"] + column, self.model.features, 1)
            self._products.multiply(piece, W, out, rows, O, columns, ADD if column else ADD_BIAS, bias)

    def run_back(self, T: int, B: int) -> None:
        """From "dprediction" to `gradient`, after a `run` that kept what this needs."""
        model = self.model
        dy, every = self.memory["dprediction"], model.readout == "all"
        if model.output_size is not None:
            dy = self._run_head_back(model.output_size, T, B)
        for layer in reversed(range(model.layers)):
            dx = self.memory.need(f"dx{layer}", T * B * model.features) if layer else None
            for number, side in enumerate(self._sides(layer)):
                given = (self.theta, self._input(layer), dy, every, self.lengths["lengths"], T, B)
                side.backward(*given, self.gradient, dx, add=number > 0)
            dy, every = dx, True

    def _run_head_back(self, O: int, T: int, B: int) -> Any:
        """The head's gradients; gives that of the features."""
        F, rows, given, head_at = self.model.features, self.rows(T, B), self.memory["dprediction"], self.at["head.W"]
        for piece, column, columns in self.features(T, B):
            turned = Matrix(piece.memory, piece.at, 1, piece.row)
            out = Matrix(self.gradient, head_at + column, F, 1)
            self._products.multiply(Matrix(given, 0, 1, O), turned, out, O, columns, rows)
        self._products.sum_rows(given, rows, O, self.gradient, self.at["head.b"])
        dfeatures = Matrix(self.memory.need("dfeatures", rows * F), 0, F, 1)
        self._products.multiply(Matrix(given, 0, O, 1), Matrix(self.theta, head_at, 1, F), dfeatures, rows, F, O)
        return dfeatures.memory

    def squares(self) -> Any:
        """Float64 parts whose sum is that of the gradient's squares."""
        library.squares(self.model.dtype).launch((NORM_BLOCKS, 1), self.gradient, self._norm_parts, self.size)
        return self._norm_parts

    def update(self, settings: Adam, step: int, scale: float) -> None:
        """Adam's `step`-th, counted from 1; scale: clipping's factor."""
        s, kernel = settings, library.adam(self.model.dtype)
        rate, spread = s.learning_rate / (1 - s.beta1**step), 1 / (1 - s.beta2**step)
        kernel.launch(
            (-(-self.size // kernel.threads), 1), self.theta, self.gradient, *self._moments, self.size,
            scale, s.beta1, s.beta2, rate, spread, s.epsilon,
        )  # fmt: skip
