"""What a kernel is told: one record of addresses and sizes, made once for each size of call.

Every kernel is `kernel(address)`, the address of its record; a program (program.py) is a list of kernels and records.
The memory behind a record's addresses belongs to the session, which keeps it for as long as the record. Arrays that a
call brings, or that grow with its steps, are reached through slots: a field marked "slot" is the address of an int64
that holds the array's address, and the session changes that alone.
"""

import numpy as np


def _fields(*names: str) -> list[tuple[str, type]]:
    return [(name, np.int64) for name in names]


# Threads that share a call: this one is `part` of `parts`. They meet at `barrier`, and `mine` is where each counts how
# often it has met, all int64 (see `meet` in vector.py).
_SHARED = ("part", "parts", "barrier", "mine")
# What both scans know. packed: the weights of layout.py, for forward or for backward; work: scratch that all parts
# share, scratch: this part's own; sizes of both as `workspace` says. order, length int64 [N]: the rows of this call, by
# falling length; active int64 [T]: how many of them still run at a step; index: int64 scratch. tape, before (slots):
# what training keeps; 0 where nothing is kept. Parts share the units.
_SCAN = (
    *_SHARED,
    *("packed", "work", "scratch", "index", "order", "length", "active", "tape", "before"),
    *("N", "reverse", "T", "B", "I", "H"),
)
# x (slot) [T, B, I]. State s of this layer and direction lies [B, H] at s * state_stride + state_at of start and final
# (slots). The output at step t of row b goes to (t * B + b) * y_stride + y_at of y, its last h to b * last_stride +
# last_at of `last` (slots); stride 0: there is none. chunk: steps whose x · W is computed at
# once, 0: each when its turn comes.
FORWARD = np.dtype(
    _fields(
        *(*_SCAN, "x", "start", "final", "state_stride", "state_at"),
        *("y", "y_stride", "y_at", "last", "last_stride", "last_at", "chunk"),
    )
)
# The gradients of y and of `last`, which lie as those do; stride 0: there is none.
BACKWARD = np.dtype(_fields(*_SCAN, "dy", "dy_stride", "dy_at", "dlast", "dlast_stride", "dlast_at"))
# A layer's products of training: of `count` slots of the tape (slot) and of `fed` sources, int64 records FED. slots,
# accumulators int64 [count]: where they lie on the tape, and the rows of db [G, H], at db_at of the gradient (slot),
# that are theirs. Parts share the units.
PRODUCTS = np.dtype(
    _fields(
        *("part", "parts", "scratch", "index", "visits", "tape", "tape_stride", "Hp", "H", "slots", "accumulators"),
        *("count", "sources", "fed", "gradient", "db_at"),
    )
)
# What a product takes: `inputs` values of each visit of a source (slot), from `at` on and `stride` apart; and rows
# int64 [count]: the row of out [rows, H, inputs], at out_at of the gradient, that a slot's belongs to; -1: it has none.
FED = np.dtype(_fields("source", "at", "stride", "inputs", "rows", "out_at"))
# out[row, j] = begin[j] + Σ over runs and k of source[row, run_at[run] + k] · w[run, k, j], j below `outputs`, or added
# to out where `adds`. source, out: slots; begin [outputs, padded], w [block, run, K, width]; run_at int64 [runs].
DENSE = np.dtype(
    _fields(
        *("part", "parts", "scratch", "index", "count", "source", "source_stride", "run_at", "runs", "K"),
        *("w", "begin", "adds", "out", "outputs"),
    )
)
# A loss with its gradient (slots): of `rows` predictions of `outputs` values each. lengths int64 [B], or 0 where every
# row counts; value: where the loss goes, float64.
LOSS = np.dtype(_fields("prediction", "target", "gradient", "lengths", "B", "rows", "outputs", "value", "stop"))
# Weights to be put where `sections` say: `count` records SECTION. Parts share the panels.
PACK = np.dtype(_fields("part", "parts", "sections", "count"))
SECTION = np.dtype(_fields("across_units", "source", "K", "J", "Kp", "out", "position", "count", "width"))
# Adam's step over flat parameters, `size` of them, of which parts take a share each. gradient: slot; sums: float64
# [parts], for the gradient's norm; pace float64 [2]: lr / (1 - beta1^t) and 1 / (1 - beta2^t); clip: the norm that the
# gradient is clipped to, infinite where it is not.
ADAM = np.dtype(
    _fields(*_SHARED, "theta", "gradient", "mean", "square", "size", "sums", "pace")
    + [(name, np.float64) for name in ("clip", "beta1", "beta2", "epsilon")]
)
# A thread's share of a program: `count` entries, int64 [count, 2], each a kernel's address and its record's, or zeros
# where other threads work; they all meet after each. Entry number `last` may end the program: all look for that when
# they have met after it, and only then, since who looked earlier might see it too soon. stop int64 [2]: the number of
# the last run that was ended, and this one's; they grow, so who looks when the next run has begun still sees it.
RUN = np.dtype(_fields("entries", "count", "last", "parts", "barrier", "mine", "stop"))
