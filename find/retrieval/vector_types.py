"""How an album stores its vectors: in half precision, as integers of 8, 4 or 2 bits, or as one bit a value.

LanceDB's own quantised indices (IVF_SQ, IVF_PQ, IVF_RQ) hold compressed copies beside the vectors, so they make a table
larger, not smaller. Here the columns themselves hold the codes, as lists of a fixed size: `float16`, `int8`, `uint16`
with four 4-bit integers each, `uint32` with sixteen 2-bit integers each, or `uint8` with eight signs each, which
LanceDB can search by Hamming distance. The type of a column determines its decoding. Albums of codes have their boxes
in one plain list an image, which Lance packs to the bits that the numbers need.

No scale is stored. An album's vectors have unit length, so a decoded vector is its codes divided by their norm.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float16, Shaped

from find.errors import DataError, InputError

VectorType = Literal["float16", "int8", "int4", "int2", "binary"]
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)

_ARROW = {
    "float16": pa.float16(),
    "int8": pa.int8(),
    "int4": pa.uint16(),
    "int2": pa.uint32(),
    "binary": pa.uint8(),
}
_VALUES = {pa.float16(): 1, pa.int8(): 1, pa.uint16(): 4, pa.uint32(): 16, pa.uint8(): 8}
"""Values of a vector that one number of its column holds."""
_BOXES = {"float16": pa.list_(pa.list_(pa.int32(), 4))}
_ROWS_AT_ONCE = 8192
"""Vectors decoded together; their float32 values stay in the cache."""


def check_vector_type(vector_type: str, dim: int | None = None) -> None:
    """Raises InputError for an unknown type, and for a number of values that it cannot store."""
    if vector_type not in VECTOR_TYPES:
        raise InputError(f"vector_type is {vector_type!r}; choose one of {', '.join(VECTOR_TYPES)}")
    together = _VALUES[_ARROW[vector_type]]
    if dim is not None and dim % together:
        raise InputError(
            f"{vector_type} vectors need a multiple of {together} values, not {dim}; choose another dim, or int8"
        )


def column_type(vector_type: VectorType, dim: int) -> pa.DataType:
    """The Arrow type of one stored vector of `dim` values."""
    values = _ARROW[vector_type]
    return pa.list_(values, dim // _VALUES[values])


def boxes_type(vector_type: VectorType) -> pa.DataType:
    """The Arrow type of one image's boxes: a list of four numbers each, or all numbers in one list."""
    return _BOXES.get(vector_type, pa.list_(pa.int32()))


def vector_dim(stored: pa.DataType) -> int:
    """How many values a vector has that is stored with this Arrow type."""
    return stored.list_size * _VALUES[stored.value_type]


def encode(vectors: Float[np.ndarray, "n d"], stored: pa.DataType) -> Shaped[np.ndarray, "n c"]:
    """Unit vectors as a column of this Arrow type holds them.

    Of integers, a vector's largest value becomes ±127 (of 4 bits ±7), so that each value is off by at most 1/254 (1/14)
    of it. Of 2 bits, a value is ±3 where it exceeds the root mean square of its vector, otherwise ±1: of four levels
    with equal steps, those that lose least of normally distributed values (Max, 1960). Bits tell which values are not
    negative.
    """
    if stored.value_type == pa.int8():
        return _rounded(vectors, 127)
    if stored.value_type == pa.uint16():
        halves = (_rounded(vectors, 7) + 8).astype(np.uint8)
        return np.ascontiguousarray(halves[:, ::2] | halves[:, 1::2] << 4).view("<u2")
    if stored.value_type == pa.uint32():
        usual = np.sqrt(np.square(vectors).mean(axis=1, keepdims=True))
        pairs = np.stack([vectors >= 0, np.abs(vectors) > usual], axis=2)
        return np.packbits(pairs.reshape(len(pairs), 2 * pairs.shape[1]), axis=1).view("<u4")
    if stored.value_type == pa.uint8():
        return np.packbits(vectors >= 0, axis=1)
    return vectors.astype(np.float16)


def decode(codes: Shaped[np.ndarray, "n c"]) -> Float16[np.ndarray, "n d"]:
    """Inverse of `encode`, as near as the codes allow: unit vectors, of integers that are all 0 zeros."""
    if codes.dtype == np.float16:
        return codes
    if codes.dtype == np.uint8:
        size = np.float16(1 / np.sqrt(8 * codes.shape[1]))
        return np.where(np.unpackbits(codes, axis=1).view(bool), size, -size)
    parts = [_unit(codes[start : start + _ROWS_AT_ONCE]) for start in range(0, max(len(codes), 1), _ROWS_AT_ONCE)]
    return np.concatenate(parts)


def decoded(table: pa.Table) -> pa.Table:
    """Rows of an album as those of an album in half precision: its columns `image`, `objects` and `boxes`, of those
    that are there."""
    for place, field in enumerate(table.schema):
        if field.name not in ("image", "objects", "boxes"):
            continue
        column = table[field.name].combine_chunks()
        if field.name == "image" and field.type.value_type != pa.float16():
            column = _halves(column)
        elif field.name == "objects" and field.type.value_type.value_type != pa.float16():
            column = pa.ListArray.from_arrays(column.offsets, _halves(column.values))
        elif field.name == "boxes" and field.type.value_type == pa.int32():
            column = _fours(column)
        else:
            continue
        table = table.set_column(place, field.with_type(column.type), column)
    return table


def codes_of(column: pa.FixedSizeListArray) -> Shaped[np.ndarray, "n c"]:
    """The numbers of n lists of one size, without a copy where the memory allows it."""
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def fixed_lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """[n, d] -> n lists of d values."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def _rounded(vectors: Float[np.ndarray, "n d"], most: int) -> Shaped[np.ndarray, "n d"]:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (most / np.where(largest > 0, largest, 1))).astype(np.int8)


def _unit(codes: Shaped[np.ndarray, "n c"]) -> Float16[np.ndarray, "n d"]:
    if codes.dtype == np.uint16:
        pairs = np.ascontiguousarray(codes, "<u2").view(np.uint8)
        codes = np.stack([pairs & 15, pairs >> 4], axis=2).reshape(len(pairs), 2 * pairs.shape[1]).view(
            np.int8
        ) - np.int8(8)
    elif codes.dtype == np.uint32:
        bits = np.unpackbits(np.ascontiguousarray(codes, "<u4").view(np.uint8), axis=1).view(np.int8)
        codes = (2 * bits[:, ::2] - 1) * (2 * bits[:, 1::2] + 1)
    values = codes.astype(np.float32)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(norm > 0, norm, 1)).astype(np.float16)


def _halves(vectors: pa.FixedSizeListArray) -> pa.FixedSizeListArray:
    return fixed_lists(decode(codes_of(vectors)))


def _fours(boxes: pa.ListArray) -> pa.ListArray:
    offsets = boxes.offsets.to_numpy()
    if (offsets % 4).any():
        raise DataError("an image of the album has boxes of other than four numbers; index the photos anew")
    values = boxes.values
    whole = values.slice(0, len(values) // 4 * 4)  # what follows belongs to no image
    return pa.ListArray.from_arrays(pa.array(offsets // 4, pa.int32()), pa.FixedSizeListArray.from_arrays(whole, 4))
