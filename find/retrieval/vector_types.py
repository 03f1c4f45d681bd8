"""How an album stores its vectors: in half precision, as 8-bit integers, or as one bit a value.

LanceDB's own quantised indices (IVF_SQ, IVF_PQ, IVF_RQ) hold compressed copies beside the vectors, so they make a table
larger, not smaller. Here the columns themselves hold the codes, as lists of a fixed size: `float16`, `int8`, or `uint8`
with eight signs a byte, which LanceDB can search by Hamming distance. The type of a column tells how to decode it.

No scale is stored. An album's vectors have unit length, so a decoded vector is its codes divided by their norm.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float16, Shaped

from find.errors import InputError

VectorType = Literal["float16", "int8", "binary"]
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)

_ARROW = {"float16": pa.float16(), "int8": pa.int8(), "binary": pa.uint8()}
_ROWS_AT_ONCE = 8192
"""Vectors decoded together; their float32 values stay in the cache."""


def check_vector_type(vector_type: str, dim: int | None = None) -> None:
    """Raises InputError for an unknown type, and for a number of values that it cannot store."""
    if vector_type not in VECTOR_TYPES:
        raise InputError(f"vector_type is {vector_type!r}; choose one of {', '.join(VECTOR_TYPES)}")
    if vector_type == "binary" and dim is not None and dim % 8:
        raise InputError(f"binary vectors need a multiple of 8 values, not {dim}; choose another dim, or int8")


def column_type(vector_type: VectorType, dim: int) -> pa.DataType:
    """The Arrow type of one stored vector of `dim` values."""
    return pa.list_(_ARROW[vector_type], dim // 8 if vector_type == "binary" else dim)


def vector_dim(stored: pa.DataType) -> int:
    """How many values a vector has that is stored with this Arrow type."""
    return stored.list_size * (8 if stored.value_type == pa.uint8() else 1)


def encode(vectors: Float[np.ndarray, "n d"], stored: pa.DataType) -> Shaped[np.ndarray, "n c"]:
    """Unit vectors as a column of this Arrow type holds them.

    Of 8-bit integers, a vector's largest value becomes ±127, so that each value is off by at most 1/254 of it. A bit is
    set where a value is not negative.
    """
    if stored.value_type == pa.int8():
        largest = np.abs(vectors).max(axis=1, keepdims=True)
        return np.rint(vectors * (127 / np.where(largest > 0, largest, 1))).astype(np.int8)
    if stored.value_type == pa.uint8():
        return np.packbits(vectors >= 0, axis=1)
    return vectors.astype(np.float16)


def decode(codes: Shaped[np.ndarray, "n c"]) -> Float16[np.ndarray, "n d"]:
    """Inverse of `encode`, as near as the codes allow: unit vectors, of 8-bit zeros zeros."""
    if codes.dtype == np.float16:
        return codes
    if codes.dtype == np.uint8:
        size = np.float16(1 / np.sqrt(8 * codes.shape[1]))
        return np.where(np.unpackbits(codes, axis=1).view(bool), size, -size)
    decoded = np.empty(codes.shape, np.float16)
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        part = codes[start : start + _ROWS_AT_ONCE].astype(np.float32)
        norm = np.linalg.norm(part, axis=1, keepdims=True)
        decoded[start : start + _ROWS_AT_ONCE] = part / np.where(norm > 0, norm, 1)
    return decoded


def decoded(table: pa.Table) -> pa.Table:
    """Rows of an album with the vectors of `image` and `objects`, of those that are there, in half precision."""
    for place, field in enumerate(table.schema):
        if field.name not in ("image", "objects"):
            continue
        column = table[field.name].combine_chunks()
        vectors = column.values if field.name == "objects" else column
        if vectors.type.value_type == pa.float16():
            continue
        halves = fixed_lists(decode(codes_of(vectors)))
        if field.name == "objects":
            halves = pa.ListArray.from_arrays(column.offsets, halves)
        table = table.set_column(place, field.with_type(halves.type), halves)
    return table


def codes_of(column: pa.FixedSizeListArray) -> Shaped[np.ndarray, "n c"]:
    """The numbers of n lists of one size, without a copy where the memory allows it."""
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def fixed_lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """[n, d] -> n lists of d values."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
