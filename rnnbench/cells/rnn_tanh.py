"""The Elman network: tanh of a weighted sum of the input and the state.

    h' = tanh(W_h x + R_h h + b_h)

Elman 1990, Finding Structure in Time, Cognitive Science 14(2).
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    tanh, d_tanh = m.tanh, m.d_tanh
    zero = m.zero

    def forward(pre, prev):
        (h,) = pre
        h = tanh(h)
        return (h,), (h,)

    def backward(saved, prev, dstate):
        (h,) = saved
        (dh,) = dstate
        return (dh * d_tanh(h),), (zero,)

    return forward, backward


RNN_TANH = Cell(
    id="rnn-tanh",
    title="Elman RNN, tanh",
    states=("h",),
    stages=(Stage((Accumulator("h"),), pair),),
    source="Elman 1990, Finding Structure in Time, Cognitive Science 14(2)",
)


@hookimpl
def rnnbench_cells():
    return [RNN_TANH]
