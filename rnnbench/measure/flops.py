"""The floating-point operations a case cannot do without: what a speed is held against."""

from rnnbench.model import Model


def forward_flops(model: Model, T: int, B: int) -> int:
    """Of inference on T steps and B rows: two for each weight and row at each step it is used. Elementwise work is
    left out, as it is by convention: it is small beside the products and its cost depends on how it is approximated."""
    H, cell = model.hidden_size, model.spec
    weights = 0
    for layer, _, _ in model.prefixes():
        size = model.features if layer else model.input_size
        weights += len(cell.w_accumulators) * H * size + len(cell.r_accumulators) * H * H
    head = (model.output_size or 0) * model.features * (T if model.readout == "all" else 1)
    return 2 * B * (T * weights + head)
