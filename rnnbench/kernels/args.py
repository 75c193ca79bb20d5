"""What each kernel is given: sizes, strides and the addresses of its arrays.

Every kernel is `kernel(address)`, the address of a record of these; a program (program.py) is a list of kernels and
records. They are made once for each size of call. What a call brings, or what grows with its steps, is reached through
a `Slot`, and the session changes that alone.
"""

from rnnbench.kernels.records import KernelArgs, Records, Slot
from rnnbench.model import Array


class Share(KernelArgs):
    """A thread's share of a call: it is `part` of `parts`."""

    part: int
    parts: int


class TeamShare(Share):
    """The share of a thread that waits for the others at a barrier (see barrier.py)."""

    arrivals: Array  # int64, all threads': how often one of them has come to a barrier
    expected: Array  # int64, this thread's own: how many arrivals had opened its last barrier


class Scratch(KernelArgs):
    """A thread's own scratch memory, of the sizes that the kernel's `..._workspace` says."""

    scratch: Array
    index: Array  # int64


class ScanArgs(KernelArgs):
    """What both scans know of one layer and direction, and all that the backward scan knows. Parts share the units.

    y and last are the outputs, or, in backward, their gradients. A stride of 0: there is none.
    """

    share: TeamShare
    own: Scratch
    work: Array  # scratch that all parts share
    packed: Array  # the weights, as layout.py has them for this direction of time
    order: Array  # int64 [N]: the rows of this share, by falling length
    length: Array  # int64 [N]: their lengths
    active: Array  # int64 [T]: how many of them still run at a step
    tape: Slot | None  # [T, B, slot, Hp]; None where nothing is kept for training
    before: Slot | None  # [state or stage result, T, B, Hp]
    N: int
    T: int
    B: int
    I: int
    H: int
    reverse: bool
    y: Slot  # of step t and row b: at (t * B + b) * y_stride + y_at
    y_stride: int
    y_at: int
    last: Slot  # a row's last h: at b * last_stride + last_at
    last_stride: int
    last_at: int


class ForwardArgs(KernelArgs):
    """The forward scan (scan.py)."""

    scan: ScanArgs
    x: Slot  # [T, B, I]
    start: Slot  # the states before: state s [B, H] of this layer and direction at s * state_stride + state_at
    final: Slot  # the states after, likewise
    state_stride: int
    state_at: int
    chunk: int  # steps whose x · W is computed at once; 0: each when its turn comes


class OperandArgs(KernelArgs):
    """What training multiplies the pre-activations' gradients by: `inputs` values of each visit."""

    source: Slot
    at: int  # where the first visit's values begin
    stride: int  # from one visit's to the next
    inputs: int
    rows: Array  # int64 [count]: of each slot of the tape its row of out [rows, H, inputs]; -1: it has none
    out_at: int  # where out begins in the gradient


class PreGradientArgs(KernelArgs):
    """The gradients of pre-activations, of H units each, as the backward scan leaves them on the tape."""

    visits: int
    tape: Slot
    tape_stride: int  # from one visit to the next
    Hp: int  # from one slot to the next
    H: int
    count: int  # slots of the tape that take part
    slots: Array  # int64 [count]: where they lie
    accumulators: Array  # int64 [count]: their rows of db [G, H]


class ProductsArgs(KernelArgs):
    """A layer's products of training (products.py). Parts share the units."""

    share: Share
    own: Scratch
    gradients: PreGradientArgs
    operands: Records[OperandArgs]
    operand_count: int
    gradient: Slot
    db_at: int  # where db begins in the gradient


class DenseArgs(KernelArgs):
    """out[row, j] = begin[j] + Σ over runs and k of source[row, run_at[run] + k] · w[run, k, j] (dense.py), j below
    `outputs`, for `count` rows, of which parts share; added to out where `adds`."""

    share: Share
    own: Scratch
    count: int
    source: Slot
    source_stride: int
    run_at: Array  # int64 [runs]
    runs: int
    K: int
    w: Array  # [block, run, K, width]
    begin: Array  # [outputs, padded to blocks]
    adds: bool
    out: Slot
    outputs: int


class LossArgs(KernelArgs):
    """A loss of `rows` predictions of `outputs` values each, with its gradient (loss.py)."""

    prediction: Slot
    target: Slot
    gradient: Slot
    lengths: Array | None  # int64 [B]; None: every row counts
    B: int
    rows: int
    outputs: int
    value: Array  # float64: where the loss goes
    stop: Array  # see `RunArgs`


class SectionArgs(KernelArgs):
    """A matrix to be packed (see `make_pack`): `source` [J, K] across units, or [K, J]."""

    across_units: bool
    source: Array
    K: int
    J: int
    Kp: int
    out: Array
    position: int
    count: int
    width: int


class PackArgs(KernelArgs):
    """Weights to be packed (pack.py). Parts share the panels."""

    share: Share
    sections: Records[SectionArgs]
    count: int


class AdamArgs(KernelArgs):
    """Adam's step over `size` flat parameters, of which parts take a share each (adam.py)."""

    share: TeamShare
    theta: Array
    gradient: Slot
    mean: Array
    square: Array
    size: int
    sums: Array  # float64 [parts]: of the gradient's squares
    scales: Array  # float64 [2]: `Adam.scales` of this step
    steps: Array  # int64 [1]: those taken, this one too when its first part is done
    clip: float  # the norm that the gradient is clipped to; infinite where it is not
    beta1: float
    beta2: float
    epsilon: float


class RunArgs(KernelArgs):
    """A thread's share of a program.

    Entry number `last` may end the program: all look for that when they have met after it, and only then, since who
    looked earlier might see it too soon.
    """

    share: TeamShare
    entries: Array  # int64 [count, 2]: a kernel's address and its record's, or zeros where other threads work
    count: int
    last: int
    # int64 [2]: the number of the last run that was ended, and this one's; they grow, so a thread that looks when the
    # next run has begun still sees it.
    stop: Array
