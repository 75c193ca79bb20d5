"""The minimal GRU: neither gate nor candidate sees the state, and z = 1 takes the candidate, unlike a GRU's.

    z = σ(W_z x + b_z)                n = W_n x + b_n
    h' = (1 − z) ⊙ h + z ⊙ n          written h + z ⊙ (n − h)

Feng et al. 2024, Were RNNs All We Needed?, arXiv:2410.01201: their h̃ is n.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    sigmoid, d_sigmoid = m.sigmoid, m.d_sigmoid

    def forward(pre, prev):
        z, n = pre
        (h,) = prev
        z = sigmoid(z)
        return (h + z * (n - h),), (z, n)

    def backward(saved, prev, dstate):
        z, n = saved
        (h,) = prev
        (dh,) = dstate
        return (dh * (n - h) * d_sigmoid(z), dh * z), (dh - dh * z,)

    return forward, backward


MINGRU = Cell(
    id="mingru",
    title="minGRU",
    states=("h",),
    stages=(Stage((Accumulator("z", operand=None), Accumulator("n", operand=None)), pair),),
    source="Feng et al. 2024, arXiv:2410.01201; z = 1 takes the candidate, the other way round from a GRU",
)


@hookimpl
def rnnbench_cells():
    return [MINGRU]
