"""The floating-point operations a case cannot do without: what a speed is held against."""

from collections.abc import Iterator

from rnnbench.model import Model


def layer_weights(model: Model) -> Iterator[tuple[int, int]]:
    """Yield (weights of W, weights of R) of each layer and direction."""
    H, cell = model.hidden_size, model.spec
    for layer, _, _ in model.prefixes():
        size = model.features if layer else model.input_size
        yield len(cell.w_accumulators) * H * size, len(cell.r_accumulators) * H * H


def forward_flops(model: Model, T: int, B: int) -> int:
    """Count those of inference on T steps and B rows: two for each weight and row at each step it is used. Elementwise
    work is left out by convention: it is small beside the products and its cost depends on how it is approximated."""
    weights = sum(W + R for W, R in layer_weights(model))
    head = (model.output_size or 0) * model.features * (T if model.readout == "all" else 1)
    return 2 * B * (T * weights + head)
