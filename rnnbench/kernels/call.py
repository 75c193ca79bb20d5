"""What a scan is told besides its arrays: one record of addresses and sizes, made once for each size of call.

A record costs a call less than a fifth of what its fields would as arguments. The memory behind an address belongs to
the session, which keeps it for as long as the record.
"""

import numpy as np

# What both scans know. packed: the weights of layout.py, for forward or for backward; work: scratch that all parts
# share, scratch: this part's own; sizes of both as `workspace` says. order, length int64 [N]: the rows of this call, by
# falling length; active int64 [T]: how many of them still run at a step; index: int64 scratch. part of parts: which
# units are this call's, where several threads share the rows. crew: all threads at work on rows or units; they meet at
# `barrier`, int64, where they had met `met` times when they start.
_COMMON = (
    *("packed", "work", "scratch", "index", "order", "length", "active", "barrier"),
    *("N", "part", "parts", "crew", "met", "reverse", "T", "B", "I", "H"),
)
# State s of this layer and direction lies [B, H] at s * state_stride + state_at. The output at step t of row b goes to
# (t * B + b) * y_stride + y_at; y_stride 0: there is none. chunk: steps whose x · W is computed at once, 0: each when
# its turn comes.
FORWARD = np.dtype([(name, np.int64) for name in (*_COMMON, "state_stride", "state_at", "y_stride", "y_at", "chunk")])
# The gradient of step t of row b's output lies at (t * B + b) * dy_stride + dy_at, that of its final h at
# b * dfinal_stride + dfinal_at; stride 0: there is none.
BACKWARD = np.dtype([(name, np.int64) for name in (*_COMMON, "dy_stride", "dy_at", "dfinal_stride", "dfinal_at")])
# One product of training: `count` slots of the tape, the rows of `out` and of db they belong to (all int64 [count]),
# and how far apart visits lie in the tape and in the source. part of parts: which units are this call's.
PRODUCTS = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("slots", "rows", "accumulators", "count", "scratch", "index", "barrier", "part", "parts", "crew", "met"),
            *("inputs", "source_stride", "tape_stride", "visits", "Hp", "H"),
        )
    ]
)
