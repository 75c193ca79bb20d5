"""The LSTM with a forget gate, without peepholes.

    i = σ(W_i x + R_i h + b_i)        f = σ(W_f x + R_f h + b_f)
    g = tanh(W_g x + R_g h + b_g)     o = σ(W_o x + R_o h + b_o)
    c' = f ⊙ c + i ⊙ g                h' = o ⊙ tanh(c')

Hochreiter and Schmidhuber 1997, Neural Computation 9(8); the forget gate: Gers, Schmidhuber and Cummins 2000.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    sigmoid, tanh, d_sigmoid, d_tanh = m.sigmoid, m.tanh, m.d_sigmoid, m.d_tanh
    zero = m.zero

    def forward(pre, prev):
        i, f, g, o = pre
        _, c = prev
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        t = tanh(c)
        return (o * t, c), (i, f, g, o, t)

    def backward(saved, prev, dstate):
        i, f, g, o, t = saved
        _, c = prev
        dh, dc = dstate
        dc = dc + dh * o * d_tanh(t)
        di, df = dc * g * d_sigmoid(i), dc * c * d_sigmoid(f)
        dg, do = dc * i * d_tanh(g), dh * t * d_sigmoid(o)
        return (di, df, dg, do), (zero, dc * f)

    return forward, backward


LSTM = Cell(
    id="lstm",
    title="LSTM",
    states=("h", "c"),
    stages=(Stage((Accumulator("i"), Accumulator("f", forget=True), Accumulator("g"), Accumulator("o")), pair),),
    source="Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000",
)


@hookimpl
def rnnbench_cells():
    return [LSTM]
