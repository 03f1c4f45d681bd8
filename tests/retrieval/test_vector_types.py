"""Claims about stored vectors: what their codes are, and how near they come back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from find.errors import FindError
from find.retrieval.vector_types import (
    VECTOR_TYPES,
    boxes_type,
    check_vector_type,
    column_type,
    decode,
    decoded,
    encode,
    fixed_lists,
    vector_dim,
)
from find.retrieval.writing import IndexSettings

INT8, INT4, BINARY = (column_type(kind, 8) for kind in ("int8", "int4", "binary"))
INT2 = column_type("int2", 16)


@st.composite
def unit_vectors(draw):
    dim = 16 * draw(st.integers(1, 5))
    rows = draw(st.integers(1, 6))
    values = draw(arrays(np.float32, (rows, dim), elements=st.floats(-1, 1, width=32)))
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    values[norm[:, 0] < 1e-3] = np.eye(dim, dtype=np.float32)[0]
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_the_largest_value_becomes_127_and_the_others_their_share():
    vector = np.array([[0.8, -0.6, 0, 0, 0, 0, 0, 0]], np.float32)
    codes = encode(vector, INT8)
    assert codes.dtype == np.int8 and codes.tolist() == [[127, -95, 0, 0, 0, 0, 0, 0]]
    norm = np.hypot(127, 95)
    assert decode(codes)[0, :2] == pytest.approx([127 / norm, -95 / norm], abs=1e-3)
    assert encode(-vector, INT8).tolist() == [[-127, 95, 0, 0, 0, 0, 0, 0]]


def test_four_bits_hold_a_value_plus_8_the_first_of_four_lowest():
    vector = np.array([[0.8, -0.6, 0, 0.1, 0, 0, 0, -0.8]], np.float32)
    codes = encode(vector, INT4)
    assert codes.dtype == np.uint16 and codes.tolist() == [[0x983F, 0x1888]]  # 7, -5, 0, 1; 0, 0, 0, -7
    assert decode(codes)[0] == pytest.approx(np.array([7, -5, 0, 1, 0, 0, 0, -7]) / np.sqrt(124), abs=1e-3)


def test_two_bits_tell_the_sign_and_whether_a_value_is_above_the_root_mean_square():
    vector = np.zeros((1, 16), np.float32)
    vector[0, :4] = 0.8, -0.55, 0.2, -0.1  # of a root mean square of a quarter
    codes = encode(vector / np.linalg.norm(vector), INT2)
    assert codes.dtype == np.uint32 and codes.view(np.uint8).tolist() == [[0b11011000, 0xAA, 0xAA, 0xAA]]
    assert decode(codes)[0] == pytest.approx(np.array([3, -3, 1, -1] + 12 * [1]) / np.sqrt(32), abs=1e-3)


def test_two_bits_keep_94_percent_of_normally_distributed_vectors():
    """What the optimal four levels keep: the square root of 1 - 0.1175 (0.1188 of equal steps)."""
    vectors = np.random.default_rng(0).normal(size=(200, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = (vectors * decode(encode(vectors, column_type("int2", 512)))).sum(axis=1)
    assert kept.mean() == pytest.approx(np.sqrt(1 - 0.1188), abs=2e-3)


def test_a_byte_holds_eight_signs_the_first_in_its_highest_bit():
    vector = np.array([[0.5, -0.5, -0.1, 0.0, 0.5, -0.5, -0.1, 0.1]], np.float32)
    codes = encode(vector, BINARY)
    assert codes.dtype == np.uint8 and codes.tolist() == [[0b10011001]]
    assert (decode(codes)[0] > 0).tolist() == [True, False, False, True, True, False, False, True]
    assert np.abs(decode(codes)) == pytest.approx(1 / np.sqrt(8), abs=1e-3)


def test_zeros_stay_zeros_as_integers():
    for stored in (INT8, INT4):
        assert not decode(encode(np.zeros((2, 8), np.float32), stored)).any()
    assert not encode(np.zeros((2, 8), np.float32), INT8).any()


@settings(max_examples=60, deadline=None)
@given(unit_vectors(), st.sampled_from([("int8", 127), ("int4", 7)]))
def test_integers_come_back_within_half_a_step(vectors, kind):
    found = decode(encode(vectors, column_type(kind[0], vectors.shape[1]))).astype(np.float64)
    step = np.abs(vectors).max(axis=1) / kind[1]
    bound = 2 * (step / 2) * np.sqrt(vectors.shape[1])  # of codes before they are divided by their norm, and of that
    assert (np.linalg.norm(found - vectors, axis=1) <= bound + 1e-3).all()
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(unit_vectors())
def test_bits_keep_the_cosine_that_absolute_values_have(vectors):
    dim = vectors.shape[1]
    found = decode(encode(vectors, column_type("binary", dim))).astype(np.float64)
    assert (vectors * found).sum(axis=1) == pytest.approx(np.abs(vectors).sum(axis=1) / np.sqrt(dim), abs=2e-3)


@settings(max_examples=30, deadline=None)
@given(unit_vectors(), st.sampled_from(VECTOR_TYPES))
def test_codes_of_one_vector_do_not_depend_on_the_others_and_decoding_them_again_changes_nothing(vectors, kind):
    stored = column_type(kind, vectors.shape[1])
    codes = encode(vectors, stored)
    assert (np.concatenate([encode(row[None], stored) for row in vectors]) == codes).all()
    assert vector_dim(stored) == decode(codes).shape[1] == vectors.shape[1]
    again = decode(encode(decode(codes).astype(np.float32), stored))
    assert np.allclose(again, decode(codes), atol=1e-3)


def test_many_vectors_are_decoded_as_one_by_one():
    codes = np.random.default_rng(0).integers(-127, 128, (20_000, 8)).astype(np.int8)
    assert (decode(codes)[[0, 8191, 8192, 19_999]] == decode(codes[[0, 8191, 8192, 19_999]])).all()


@pytest.mark.parametrize("kind", VECTOR_TYPES)
def test_both_columns_of_a_table_are_decoded_also_of_a_slice_and_of_none(kind):
    stored = column_type(kind, 16)
    vectors = np.random.default_rng(1).normal(size=(7, 16)).astype(np.float32)
    codes = encode(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), stored)
    objects = pa.ListArray.from_arrays(pa.array([0, 3, 4, 7], pa.int32()), fixed_lists(codes))
    table = pa.table({"path": ["a", "b", "c"], "objects": objects, "image": fixed_lists(codes[:3])})
    whole = decoded(table)
    assert [len(row) for row in whole["objects"].to_pylist()] == [3, 1, 3]
    assert np.array_equal(np.concatenate([row for row in whole["objects"].to_pylist()]), decode(codes))
    assert np.array_equal(whole["image"].to_pylist(), decode(codes[:3]))
    assert decoded(table.slice(1, 2)).to_pylist() == whole.to_pylist()[1:]
    assert decoded(table.slice(3)).schema == whole.schema
    assert decoded(whole).equals(whole)
    assert decoded(table.select(["path"])).equals(table.select(["path"]))


def test_what_cannot_be_stored_is_refused():
    for ask in (lambda: check_vector_type("int3"), lambda: IndexSettings(vector_type="int3")):
        with pytest.raises(FindError, match="vector_type is 'int3'; choose one of float16, int8, int4, int2, binary"):
            ask()
    with pytest.raises(FindError, match="multiple of 8 values, not 12"):
        IndexSettings(vector_type="binary", dim=12)
    with pytest.raises(FindError, match="int4 vectors need a multiple of 4 values, not 6"):
        IndexSettings(vector_type="int4", dim=6)
    IndexSettings(vector_type="int8", dim=7)


def test_boxes_in_one_list_come_back_four_by_four():
    boxes = pa.table({"boxes": pa.array([[1, 2, 3, 4], [], [5, 6, 7, 8, 9, 10, 11, 12]], boxes_type("int8"))})
    assert decoded(boxes)["boxes"].to_pylist() == [[[1, 2, 3, 4]], [], [[5, 6, 7, 8], [9, 10, 11, 12]]]
    assert decoded(boxes.slice(2))["boxes"].to_pylist() == [[[5, 6, 7, 8], [9, 10, 11, 12]]]
    assert decoded(boxes)["boxes"].type == boxes_type("float16")
    with pytest.raises(FindError, match="boxes of other than four numbers"):
        decoded(pa.table({"boxes": pa.array([[1, 2, 3], [4]], boxes_type("int8"))}))
