"""A cell of your own against one that is there: python examples/own_cell.py

The file is a plugin too: `-p examples/own_cell.py` gives its cell to any command of rnnbench. The IndRNN has a
recurrent weight for each unit in place of a matrix:

    a = W x + b    h = tanh(a + u ⊙ h)
"""

import sys

from rnnbench import Accumulator, Cell, Stage, hookimpl


def pair(m):
    tanh, d_tanh = m.tanh, m.d_tanh

    def forward(pre, prev):
        a, u = pre
        (h,) = prev
        t = tanh(a + u * h)
        return (t,), (u, t)

    def backward(saved, prev, dstate):
        u, t = saved
        (h,) = prev
        (dh,) = dstate
        da = dh * d_tanh(t)
        return (da, da * h), (da * u,)

    return forward, backward


# An accumulator with neither W nor R is its bias alone: one learned value a unit.
A, U = Accumulator("a", operand=None), Accumulator("u", sees_x=False, operand=None)
INDRNN = Cell("indrnn", "IndRNN", ("h",), (Stage((A, U), pair),), "Li et al. 2018, arXiv:1803.04831")


@hookimpl
def rnnbench_cells():
    return [INDRNN]


if __name__ == "__main__":
    from rnnbench.cli import main

    asked = ["--cell", "indrnn,rnn-tanh", "--task", "sunspots", "--backend", "numba", "--quick"]
    sys.exit(main(["compare", "-p", __file__, *asked, *sys.argv[1:]]))
