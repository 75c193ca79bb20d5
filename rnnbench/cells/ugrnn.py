"""The update gate RNN: a GRU without its reset.

    z = σ(W_z x + R_z h + b_z)        n = tanh(W_n x + R_n h + b_n)
    h' = (1 − z) ⊙ n + z ⊙ h          written n + z ⊙ (h − n)

Collins, Sohl-Dickstein and Sussillo 2016, arXiv:1611.09913, equations 9 to 11: their g is z, their c is n.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    sigmoid, tanh, d_sigmoid, d_tanh = m.sigmoid, m.tanh, m.d_sigmoid, m.d_tanh

    def forward(pre, prev):
        z, n = pre
        (h,) = prev
        z, n = sigmoid(z), tanh(n)
        return (n + z * (h - n),), (z, n)

    def backward(saved, prev, dstate):
        z, n = saved
        (h,) = prev
        (dh,) = dstate
        return (dh * (h - n) * d_sigmoid(z), (dh - dh * z) * d_tanh(n)), (dh * z,)

    return forward, backward


UGRNN = Cell(
    id="ugrnn",
    title="UGRNN",
    states=("h",),
    stages=(Stage((Accumulator("z"), Accumulator("n")), pair),),
    source="Collins, Sohl-Dickstein and Sussillo 2016, arXiv:1611.09913",
)


@hookimpl
def rnnbench_cells():
    return [UGRNN]
