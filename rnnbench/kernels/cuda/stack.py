"""A model on the device: its parameters, layers and head, forwards, backwards and one step of Adam.

Nothing here waits for the device or copies from it; `backends/numba_cuda/session.py` does.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rnnbench.kernels.cuda import compiled
from rnnbench.kernels.cuda.elementwise import NORM_BLOCKS, make_adam, make_squares
from rnnbench.kernels.cuda.large import ADD, Matrix
from rnnbench.kernels.cuda.launches import Products
from rnnbench.kernels.cuda.layer import CudaLayer, CudaWeights, DeviceBatch, OutputGradient
from rnnbench.kernels.cuda.target import DeviceMemory, upload, zeros
from rnnbench.kernels.cuda.types import DeviceArray, DoubleArray
from rnnbench.model import Array, Model, Params, Shape
from rnnbench.training import Adam


class CudaStack:
    """memory holds by name: "x" [T, B, I], which the caller fills, "prediction" [rows, O] of the head, "dprediction",
    which the caller fills before `backward` (the gradient of the prediction; without a head, of the features), and what
    lies between. lengths: int64 [B] under "lengths". rows are T * B for readout "all", else B. All is flat.
    """

    def __init__(self, model: Model, params: Params) -> None:
        self.model, self.dtype = model, np.dtype(model.dtype)
        self.shapes: dict[str, Shape] = model.parameter_shapes()
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.at: dict[str, int] = dict(zip(self.shapes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self.size = sum(sizes)
        self.theta = upload(np.concatenate([params[name].ravel() for name in self.shapes]))
        self.memory, self.lengths = DeviceMemory(self.dtype), DeviceMemory(np.dtype(np.int64))
        self._products = Products(model.dtype)
        self.layers = [
            CudaLayer(model, number, layer, reverse, self._weights(prefix), self._products)
            for number, (layer, reverse, prefix) in enumerate(model.prefixes())
        ]

    def _weights(self, prefix: str) -> CudaWeights:
        return CudaWeights(self.theta, *(self.at.get(prefix + letter, 0) for letter in "WRb"))

    @cached_property
    def gradient(self) -> DeviceArray:
        """Return that of every parameter, as `theta` has them."""
        return zeros(self.size, self.dtype)

    @cached_property
    def _norm_parts(self) -> DoubleArray:
        return zeros(NORM_BLOCKS * compiled.elementwise(self.model.dtype, make_squares).threads, np.float64)

    def views(self, flat: Array) -> Params:
        """Return parameters, or their gradients, by name: canonical layouts over one flat array."""
        ends = {name: at + int(np.prod(self.shapes[name])) for name, at in self.at.items()}
        return {name: flat[at : ends[name]].reshape(self.shapes[name]) for name, at in self.at.items()}

    def rows(self, T: int, B: int) -> int:
        return T * B if self.model.readout == "all" else B

    def features(self, T: int, B: int) -> Iterator[tuple[Matrix, int, int]]:
        """Yield the pieces of the features [rows, D*H]: columns that lie together, the first, and how many."""
        model = self.model
        if model.readout == "all":
            yield Matrix(self.memory[f"y{model.layers - 1}"], 0, model.features, 1), 0, model.features
            return
        for side in self._sides(model.layers - 1):
            yield Matrix(side.workspace, side.final_at(B), side.H, 1), side.column, side.H

    def _sides(self, layer: int) -> list[CudaLayer]:
        D = self.model.directions
        return self.layers[layer * D : (layer + 1) * D]

    def _input(self, layer: int) -> DeviceArray:
        return self.memory[f"y{layer - 1}" if layer else "x"]

    def set_state(self, start: Array | None, B: int) -> None:
        """Set the initial states [state, L*D, B, H]; zeros for None."""
        for side in self.layers:
            side.set_state(None if start is None else start[:, side.number], B)

    def forward(self, T: int, B: int, keep: bool) -> None:
        """Launch all layers, then the head. keep: whether `backward` will follow."""
        model, batch = self.model, DeviceBatch(self.lengths["lengths"], T, B)
        for layer in range(model.layers):
            wanted = layer < model.layers - 1 or model.readout == "all"
            y = self.memory.buffer(f"y{layer}", T * B * model.features) if wanted else None
            for side in self._sides(layer):
                side.forward(self._input(layer), y, batch, keep)
        if model.output_size is not None:
            self._head_forward(model.output_size, T, B)

    def _head_forward(self, O: int, T: int, B: int) -> None:
        rows = self.rows(T, B)
        out = Matrix(self.memory.buffer("prediction", rows * O), 0, O, 1)
        bias = Matrix(self.theta, self.at["head.b"], 0, 0)
        for piece, column, columns in self.features(T, B):
            W = Matrix(self.theta, self.at["head.W"] + column, self.model.features, 1)
            self._products.multiply(piece, W, out, (rows, O, columns), ADD, None if column else bias)

    def backward(self, T: int, B: int) -> None:
        """Launch from "dprediction" to `gradient`, after a `forward` that kept what this needs."""
        model, batch = self.model, DeviceBatch(self.lengths["lengths"], T, B)
        dy = OutputGradient(self.memory["dprediction"], model.readout == "all")
        if model.output_size is not None:
            dy = dy._replace(memory=self._head_backward(model.output_size, T, B))
        for layer in reversed(range(model.layers)):
            dx = self.memory.buffer(f"dx{layer}", T * B * model.features) if layer else None
            for number, side in enumerate(self._sides(layer)):
                side.backward(self._input(layer), dy, batch, self.gradient, dx, add=number > 0)
            if dx is not None:
                dy = OutputGradient(dx, True)

    def _head_backward(self, O: int, T: int, B: int) -> DeviceArray:
        """Launch the head's gradients; return that of the features."""
        F, rows, W_at = self.model.features, self.rows(T, B), self.at["head.W"]
        dy = Matrix(self.memory["dprediction"], 0, O, 1)
        for piece, column, columns in self.features(T, B):
            dW = Matrix(self.gradient, W_at + column, F, 1)
            self._products.multiply(dy.transposed, piece.transposed, dW, (O, columns, rows))
        self._products.sum_rows(dy.memory, rows, O, self.gradient, self.at["head.b"])
        dfeatures = Matrix(self.memory.buffer("dfeatures", rows * F), 0, F, 1)
        self._products.multiply(dy, Matrix(self.theta, W_at, 1, F), dfeatures, (rows, F, O))
        return dfeatures.memory

    def squares(self) -> DoubleArray:
        """Launch the sum of the gradient's squares; return its parts, in float64."""
        kernel = compiled.elementwise(self.model.dtype, make_squares)
        kernel.launch((NORM_BLOCKS, 1), self.gradient, self._norm_parts, self.size)
        return self._norm_parts

    def update(self, settings: Adam, step: int, scale: float) -> None:
        """Launch Adam's `step`-th, counted from 1; scale: clipping's factor."""
        s, kernel = settings, compiled.elementwise(self.model.dtype, make_adam)
        rate, spread = s.learning_rate / (1 - s.beta1**step), 1 / (1 - s.beta2**step)
        flat = self.theta, self.gradient, self.memory.buffer("mean", self.size), self.memory.buffer("square", self.size)
        settled = scale, s.beta1, s.beta2, rate, spread, s.epsilon
        kernel.launch((-(-self.size // kernel.threads), 1), *flat, self.size, *settled)
