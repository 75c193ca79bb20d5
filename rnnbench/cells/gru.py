"""The GRU that resets after the recurrent product, so that its candidate has a bias on either side of r.

    r = σ(W_r x + R_r h + b_r)        z = σ(W_z x + R_z h + b_z)
    q = R_q h + b_q                   n = tanh(W_n x + b_n + r ⊙ q)
    h' = (1 − z) ⊙ n + z ⊙ h          written n + z ⊙ (h − n)

Cho et al. 2014, arXiv:1406.1078v1; cuDNN, torch and Keras compute this one.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    sigmoid, tanh, d_sigmoid, d_tanh = m.sigmoid, m.tanh, m.d_sigmoid, m.d_tanh

    def forward(pre, prev):
        r, z, n, q = pre
        (h,) = prev
        r, z = sigmoid(r), sigmoid(z)
        n = tanh(n + r * q)
        return (n + z * (h - n),), (r, z, n, q)

    def backward(saved, prev, dstate):
        r, z, n, q = saved
        (h,) = prev
        (dh,) = dstate
        dz = dh * (h - n) * d_sigmoid(z)
        dn = (dh - dh * z) * d_tanh(n)
        return (dn * q * d_sigmoid(r), dz, dn, dn * r), (dh * z,)

    return forward, backward


GRU = Cell(
    id="gru",
    title="GRU, reset after",
    states=("h",),
    stages=(
        Stage(
            (Accumulator("r"), Accumulator("z"), Accumulator("n", operand=None), Accumulator("q", sees_x=False)), pair
        ),
    ),
    source="Cho et al. 2014, arXiv:1406.1078v1, as computed by cuDNN, torch and Keras",
)


@hookimpl
def rnnbench_cells():
    return [GRU]
