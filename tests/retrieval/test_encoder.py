"""Claims about the encoder of texts, images and mixtures, with the shipped model."""

import numpy as np
import pytest
import torch
from PIL import Image

from find.errors import FindError, InputError
from find.model.model import FIND
from find.query.entity import Phrase, Region
from find.query.query import Query
from find.retrieval.encoder import Encoder


@pytest.fixture(scope="module")
def encoder():
    return Encoder(FIND.from_pretrained("find-tiny").eval())


@pytest.fixture(scope="module")
def images():
    dice = np.random.default_rng(0)
    return [dice.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)]


def test_each_kind_of_input_has_the_models_own_vector(encoder, images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    region = Region(images[1], box=(4, 4, 30, 30))
    mixture = ["a ", region, " beside ", Phrase("a red dog")]
    vectors = encoder.encode_query(["a red dog", images[0], mixture, tmp_path / "a.png", Query(*mixture), images[2]])
    assert vectors.shape == (6, encoder.get_embedding_dimension()) and vectors.dtype == np.float32
    model = encoder.model
    expected = [
        model.embed_texts(["a red dog"])[0],
        model.embed_images(images[:1]).image[0],
        model.embed_queries([Query(*mixture)]).query[0],
        model.embed_images(images[:1]).image[0],
        model.embed_queries([Query(*mixture)]).query[0],
        model.embed_images(images[2:]).image[0],
    ]
    torch.testing.assert_close(torch.from_numpy(vectors), torch.stack(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.encode_document(images[0]), vectors[1], atol=1e-5, rtol=0)
    np.testing.assert_allclose(encoder.encode_document(images, batch_size=1)[2], vectors[5], atol=1e-5)


def test_fewer_values_are_the_first_ones_as_unit_vectors(encoder, images):
    whole = encoder.encode_document(images)
    short = encoder.encode_document(images, truncate_dim=32)
    expected = whole[:, :32] / np.linalg.norm(whole[:, :32], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, atol=1e-5)
    always = Encoder(encoder.model, truncate_dim=32)
    np.testing.assert_allclose(always.encode_query(images), short, atol=1e-5)
    assert always.get_embedding_dimension() == 32
    with pytest.raises(FindError, match="cannot be taken"):
        encoder.encode_query(images, truncate_dim=10_000)


def test_similarity_is_the_cosine_of_all_pairs_or_of_the_rows(encoder):
    a, b = np.array([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    torch.testing.assert_close(encoder.similarity(a, b), torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    torch.testing.assert_close(encoder.similarity(a[0], b), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(encoder.similarity_pairwise(a, b), torch.tensor([0.6, 0.0]))
    with pytest.raises(FindError, match="2 and of 3 values"):
        encoder.similarity(a, np.zeros((1, 3)))
    with pytest.raises(FindError, match="paired"):
        encoder.similarity_pairwise(a, b[:1])


def test_other_things_and_nothing(encoder):
    with pytest.raises(FindError, match="input 1 is a int"):
        encoder.encode_query(["a dog", 3])
    assert encoder.encode_query([]).shape == (0, encoder.get_embedding_dimension())
    for dim in (0, -3):
        with pytest.raises(FindError, match=f"values that are kept, not {dim}"):
            encoder.encode_query("a dog", truncate_dim=dim)


def test_text_is_read_as_on_the_command_line(encoder, images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    query = Query("a ", Region(tmp_path / "a.png", points=(30, 20)), " beside ", Phrase("a red dog"))
    words = f"a [{tmp_path / 'a.png'}@30,20] beside {{a red dog}}"
    for encode in (encoder.encode_query, encoder.encode_document):
        np.testing.assert_array_equal(encode(words), encode(query))
    np.testing.assert_array_equal(encoder.encode_query("a red dog"), encoder.model.embed_texts(["a red dog"])[0])
    with pytest.raises(FindError, match=r"input 1, 'a \{dog': part 2 .* at character 3: .* never closed"):
        encoder.encode_query(["a dog", "a {dog"])


def test_a_str_that_names_a_file_of_an_image_is_no_image(encoder, images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "a.PNG", format="png")
    with pytest.raises(FindError, match=r"input 1, .*a.PNG', is text that .* its image give pathlib.Path\('/.*a.PNG'"):
        encoder.encode_document(["a dog", str(tmp_path / "a.PNG")])
    assert encoder.encode_document(["a dog", tmp_path / "a.PNG"]).shape[0] == 2
    assert encoder.encode_document("none.png").any()  # no such file: words


def test_arguments_of_sentence_transformers_give_the_same_vectors(encoder, images, capsys):
    inputs = ["a red dog", images[0], "a {cat} on {grass}", images[1], "the sea"]
    rows = encoder.encode(inputs)
    assert isinstance(rows, np.ndarray) and rows.dtype == np.float32
    for options in ({"batch_size": 1}, {"show_progress_bar": True}, {"device": "cpu"}, {"normalize_embeddings": False}):
        np.testing.assert_allclose(encoder.encode(inputs, **options), rows, atol=1e-5)
    for options in ({"convert_to_tensor": True}, {"convert_to_numpy": False}):
        tensor = encoder.encode(inputs, **options)
        assert isinstance(tensor, torch.Tensor) and tensor.device == encoder.device == encoder.model.device
        np.testing.assert_allclose(tensor.numpy(), rows, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(inputs[0]), rows[0], atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.get_sentence_embedding_dimension())
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError):
        encoder.encode(inputs, device="abacus")
    with pytest.raises(TypeError, match="prompt_nam"):
        encoder.encode(inputs, prompt_nam="query")


def test_widths_that_the_model_was_not_trained_for_are_warned_of(encoder):
    with pytest.warns(UserWarning, match="cut to 40 values, but were trained for 32, 64, 128"):
        encoder.encode("a dog", truncate_dim=40)
