"""The GRU that resets the state before the recurrent product. Its first stage is r ⊙ h.

    r = σ(W_r x + R_r h + b_r)        z = σ(W_z x + R_z h + b_z)
    n = tanh(W_n x + R_n (r ⊙ h) + b_n)
    h' = (1 − z) ⊙ n + z ⊙ h

Cho et al. 2014, arXiv:1406.1078v3, equations 5 to 8; ONNX's GRU with linear_before_reset = 0.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.cells.ugrnn import pair as update_pair  # once r ⊙ h is known, the rest is a UGRNN
from rnnbench.hookspecs import hookimpl


def reset_pair(m):
    sigmoid, d_sigmoid = m.sigmoid, m.d_sigmoid

    def forward(pre, prev):
        (r,) = pre
        (h,) = prev
        r = sigmoid(r)
        return (r * h,), (r,)

    def backward(saved, prev, doperand):
        (r,) = saved
        (h,) = prev
        (d,) = doperand
        return (d * h * d_sigmoid(r),), (d * r,)

    return forward, backward


GRU_BEFORE = Cell(
    id="gru-before",
    title="GRU, reset before",
    states=("h",),
    stages=(
        Stage((Accumulator("r"),), reset_pair),
        Stage((Accumulator("z"), Accumulator("n", operand="stage")), update_pair),
    ),
    source="Cho et al. 2014, arXiv:1406.1078v3; ONNX GRU with linear_before_reset = 0",
)


@hookimpl
def rnnbench_cells():
    return [GRU_BEFORE]
