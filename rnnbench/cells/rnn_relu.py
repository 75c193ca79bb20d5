"""The Elman network with a rectifier, whose authors begin from the identity for R_h.

    h' = max(0, W_h x + R_h h + b_h)

Le, Jaitly and Hinton 2015, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, arXiv:1504.00941.
"""

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.hookspecs import hookimpl


def pair(m):
    relu, d_relu = m.relu, m.d_relu
    zero = m.zero

    def forward(pre, prev):
        (h,) = pre
        h = relu(h)
        return (h,), (h,)

    def backward(saved, prev, dstate):
        (h,) = saved
        (dh,) = dstate
        return (dh * d_relu(h),), (zero,)

    return forward, backward


RNN_RELU = Cell(
    id="rnn-relu",
    title="Elman RNN, ReLU",
    states=("h",),
    stages=(Stage((Accumulator("h"),), pair),),
    source="Le, Jaitly and Hinton 2015, arXiv:1504.00941",
)


@hookimpl
def rnnbench_cells():
    return [RNN_RELU]
