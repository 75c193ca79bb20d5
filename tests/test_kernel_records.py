"""Kernels' arguments: what Python fills in is what compiled code reads, and nothing is left out."""

import weakref

import numpy as np
import pytest
from numba import njit, types

from rnnbench.kernels.args import AdamArgs, RunArgs, Share, TeamShare
from rnnbench.kernels.records import KernelArgs, Records, Slot, args_at, record, record_dtype


class Numbers(KernelArgs):
    share: Share
    x: np.ndarray
    nothing: Slot | None
    flag: bool
    ratio: float
    following: Records[Share]


def numbers(x: np.ndarray) -> Numbers:
    following = Records(Share, [Share(part=7, parts=8), Share(part=9, parts=10)])
    return Numbers(share=Share(part=1, parts=2), x=x, nothing=None, flag=True, ratio=0.5, following=following)


def test_compiled_code_reads_what_python_filled_in():
    numbers_at, share_at, size = args_at(Numbers), args_at(Share), record_dtype(Share).itemsize

    @njit(types.UniTuple(types.float64, 7)(types.int64))
    def read(address):
        args = numbers_at(address)
        second = share_at(args.following + size)
        return args.part, args.parts, args.nothing, args.flag, args.ratio, second.part, float(args.x)

    x = np.zeros(3)
    made = record(numbers(x))
    assert read(made.address) == (1, 2, 0, 1, 0.5, 9, x.ctypes.data)


def test_a_field_left_out_or_unknown_is_an_error():
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'parts'"):
        Share(part=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'stride'"):
        Share(part=1, parts=1, stride=2)


def test_a_share_s_fields_are_the_record_s_own():
    assert set(record_dtype(TeamShare).names) < set(record_dtype(RunArgs).names)
    floats = [name for name, (kind, _) in record_dtype(AdamArgs).fields.items() if kind == np.float64]
    assert floats == ["clip", "beta1", "beta2", "epsilon"]


def test_records_keep_what_they_point_at():
    x = np.zeros(3)
    gone, made = weakref.ref(x), record(numbers(x))
    del x
    assert gone() is not None
    del made
    assert gone() is None
