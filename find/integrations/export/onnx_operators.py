"""Translations of operators that the ONNX exporter lacks."""

from collections.abc import Callable

import torch
from onnxscript import opset20 as op


def searchsorted(sorted_sequence, values, *, out_int32=False, right=False, side=None, sorter=None):
    """How many of each row's values are below each value, or not above it if `right`; by counting, not by bisection."""
    below = op.Unsqueeze(sorted_sequence, op.Constant(value_ints=[-2]))
    asked = op.Unsqueeze(values, op.Constant(value_ints=[-1]))
    below, asked = op.Cast(below, to=7), op.Cast(asked, to=7)  # 7: int64
    counted = op.Cast(op.LessOrEqual(below, asked) if right else op.Less(below, asked), to=7)
    return op.ReduceSum(counted, op.Constant(value_ints=[-1]), keepdims=0)


TRANSLATIONS: dict[Callable, Callable] = {torch.ops.aten.searchsorted.Tensor: searchsorted}
