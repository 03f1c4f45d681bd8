"""The adapters give what open_clip gives, whatever else is in the batch, and never learn."""

import copy
import json

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.foundations import (
    LanguageEncoder,
    VisionEncoder,
    fingerprint,
    load_vision,
)
from find.foundations.open_clip import OpenClipVision, attention_pool
from find.foundations.open_clip_text import OpenClipLanguage, fast_tokenizer
from find.foundations.tiny import FOLDER

SENTENCES = [
    "a small red dog, next to the [region].",
    "grass",
    "Two cats stand in front of a large blue car; the sky is above them!",
    "",
]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{FOLDER}", load_weights=False).eval()
    for module in model.modules():  # BatchNorm with statistics that matter
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def vision(model):
    return OpenClipVision(model.visual, spec="test")


@pytest.fixture(scope="module")
def language(model):
    return OpenClipLanguage(model, tokenizer=fast_tokenizer(f"local-dir:{FOLDER}")[0], spec="test")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8, generator=generator)


def test_the_adapters_are_what_the_protocols_say(vision, language):
    assert isinstance(vision, VisionEncoder)
    assert isinstance(language, LanguageEncoder)
    assert vision.strides == (4, 8, 16, 32) and vision.divisor == 32 and vision.image_size == 160
    assert vision.pooled_dim == language.pooled_dim


def test_pooled_images_are_open_clips(model, vision, images):
    mean, std = torch.tensor([0.5] * 3).view(3, 1, 1), torch.tensor([0.25] * 3).view(3, 1, 1)
    with torch.no_grad():
        expected = model.encode_image((images / 255 - mean) / std)
    torch.testing.assert_close(vision(images).pooled, expected, rtol=1e-4, atol=1e-5)


def test_bytes_and_floats_of_the_same_pixels_give_the_same(vision, images):
    torch.testing.assert_close(vision(images).pooled, vision(images.float()).pooled)


def test_maps_have_the_sides_and_channels_that_are_told(vision):
    features = vision(torch.zeros(1, 3, 96, 224, dtype=torch.uint8))
    for features_map, stride, channels in zip(features.maps, vision.strides, vision.channels, strict=True):
        assert features_map.shape == (1, channels, 96 // stride, 224 // stride)
    assert features.pooled.shape == (1, vision.pooled_dim)


def test_a_batch_of_two_images_is_two_batches_of_one(vision, images):
    together = vision(images)
    for i in range(2):
        alone = vision(images[i : i + 1])
        torch.testing.assert_close(together.pooled[i : i + 1], alone.pooled, rtol=1e-4, atol=1e-5)
        for a, b in zip(together.maps, alone.maps, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=1e-4, atol=1e-4)


def test_the_attention_pools_positions_stretch_with_the_map(model):
    pool = model.visual.attnpool
    class_position, *positions = pool.positional_embedding.detach()
    rows = torch.stack(positions).view(5, 5, -1)[:, :1]  # make positions differ from row to row only
    square = torch.cat([class_position[None], rows.expand(-1, 5, -1).flatten(0, 1)])
    wide = torch.cat([class_position[None], rows.expand(-1, 9, -1).flatten(0, 1)])
    features = torch.randn(2, len(class_position), 5, 9)
    saved = pool.positional_embedding
    with torch.no_grad():
        pool.positional_embedding = torch.nn.Parameter(square)
        stretched = attention_pool(pool, features)
        pool.positional_embedding = torch.nn.Parameter(wide)
        expected = pool(features)
    pool.positional_embedding = saved
    torch.testing.assert_close(stretched, expected, rtol=1e-4, atol=1e-5)


def test_images_that_are_no_multiple_of_32_are_refused(vision):
    with pytest.raises(FindError, match="multiples of 32"):
        vision(torch.zeros(1, 3, 160, 150, dtype=torch.uint8))


def test_pooled_texts_are_open_clips(model, language):
    ids = language.tokenize(SENTENCES).ids
    padded = torch.nn.functional.pad(ids, (0, language.context_length - ids.shape[1]))
    with torch.no_grad():
        expected = model.encode_text(padded)
    torch.testing.assert_close(language(language.tokenize(SENTENCES)).pooled, expected, rtol=1e-4, atol=1e-5)


def test_a_text_means_the_same_in_any_batch(language):
    together = language(language.tokenize(SENTENCES))
    for i, sentence in enumerate(SENTENCES):
        alone = language(language.tokenize([sentence]))
        length = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[i, :length], alone.tokens[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.pooled[i], alone.pooled[0], rtol=1e-4, atol=1e-5)
        assert together.padding[i, length:].all() and not together.padding[i, :length].any()
        assert not together.tokens[i, length:].any()


def test_a_token_carries_all_layers_each_normed(language):
    features = language(language.tokenize(SENTENCES))
    layers = features.tokens[~features.padding].unflatten(-1, (5, -1))
    assert language.width == features.tokens.shape[-1]
    torch.testing.assert_close(layers.mean(-1), torch.zeros(layers.shape[:-1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(layers.std(-1, correction=0), torch.ones(layers.shape[:-1]), rtol=1e-2, atol=1e-2)


def test_no_texts_are_no_features(language):
    assert language.tokenize([]).ids.shape == (0, 0)


def test_a_text_longer_than_the_context_is_refused(language):
    with pytest.raises(FindError, match="96"):
        language.tokenize(["dog " * 95])
    assert language.tokenize(["dog " * 94]).ids.shape == (1, 96)


@settings(deadline=None, max_examples=150)
@given(st.text(st.sampled_from("aBdogrs İß ,.-[]é\t\n'"), max_size=40))
def test_offsets_cut_every_word_out_of_its_text_exactly(language, text):
    tokenized = language.tokenize([text])
    spans = [(a, b) for a, b in tokenized.offsets[0].tolist() if b > a]
    assert "".join(text[a:b] for a, b in spans) == "".join(text.split())
    assert all(not any(c.isspace() for c in text[a:b]) for a, b in spans)
    assert spans == sorted(spans)


def test_words_never_seen_are_reported_once_and_as_written(language):
    unknown = language.tokenize(["a Quokka, a dog and a Quokka on a zyx", "a dog"]).unknown
    assert unknown == (("Quokka", "zyx"), ())


def test_special_tokens_cannot_be_written_but_the_placeholder_can(language):
    ids = language.tokenize(["[region] [end] [pad]"]).ids[0].tolist()
    largest = language.tokenize.backend.get_vocab_size() - 1
    assert ids.count(language.tokenize.backend.token_to_id("[region]")) == 1
    assert ids.count(largest) == 1 and ids[-1] == largest and 0 not in ids


def test_training_mode_and_gradients_leave_the_adapters_alone(vision, language, images):
    before = fingerprint(vision), fingerprint(language)
    parent = torch.nn.ModuleList([vision, language]).train()
    first = vision(images).pooled
    features = language(language.tokenize(SENTENCES))
    assert not first.requires_grad and not features.tokens.requires_grad
    assert torch.equal(vision(images).pooled, first)
    assert (fingerprint(vision), fingerprint(language)) == before
    assert not any(p.requires_grad for p in parent.parameters())


def test_low_precision_changes_the_type_and_little_else(model, images):
    full, half = (
        OpenClipVision(copy.deepcopy(model.visual), spec="test", dtype=d) for d in (torch.float32, torch.bfloat16)
    )
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    features = half(images)
    assert features.pooled.dtype == torch.bfloat16 and {m.dtype for m in features.maps} == {torch.bfloat16}
    similarity = torch.cosine_similarity(features.pooled.float(), full(images).pooled)
    assert (similarity > 0.99).all()


def test_random_weights_are_the_same_each_time():
    assert fingerprint(load_vision("random:tiny")) == fingerprint(load_vision("random:tiny"))


def test_clips_own_byte_pairs_get_open_clips_ids_and_true_offsets():
    texts = ["a photo of a dog's  café, 2 ½-pint CUPS!", "naïve ski-jumpers'll   don't 日本"]
    tokenizer, _ = fast_tokenizer("ViT-B-32")
    expected = open_clip.get_tokenizer("ViT-B-32")(texts)
    for text, row in zip(texts, expected, strict=True):
        encoding = tokenizer.encode(text)
        assert encoding.ids == row[: len(encoding.ids)].tolist() and not row[len(encoding.ids) :].any()
    encoding = tokenizer.encode("two  Dogs")
    assert [("two  Dogs")[a:b] for a, b in encoding.offsets[1:-1]] == ["two", "Dogs"]


def test_a_tower_that_sees_its_padding_is_open_clips_at_full_length_in_any_batch(tmp_path):
    config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    config["text_cfg"] |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    torch.manual_seed(0)
    model = open_clip.model.CustomTextCLIP(**config).eval()
    backend, _ = fast_tokenizer(f"local-dir:{FOLDER}")
    language = OpenClipLanguage(model, tokenizer=backend, padding_id=1, spec="siglip")
    together = language(language.tokenize(SENTENCES))
    assert isinstance(language, LanguageEncoder)
    for i, sentence in enumerate(SENTENCES):
        ids = language.tokenize([sentence]).ids
        full = torch.nn.functional.pad(ids, (0, language.context_length - ids.shape[1]), value=1)
        with torch.no_grad():
            expected = model.encode_text(full)
        alone = language(language.tokenize([sentence]))
        torch.testing.assert_close(alone.pooled, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.pooled[i], alone.pooled[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.tokens[i, : ids.shape[1]], alone.tokens[0], rtol=1e-4, atol=1e-5)


def test_one_layer_is_a_part_of_all_of_them(model):
    backend, _ = fast_tokenizer(f"local-dir:{FOLDER}")
    whole, third = (OpenClipLanguage(model, tokenizer=backend, spec="test", layer=n) for n in (None, 3))
    text = whole.tokenize(SENTENCES)
    layers = whole(text).tokens.unflatten(-1, (5, -1))
    torch.testing.assert_close(third(text).tokens, layers[..., 3, :])
    assert third.width == layers.shape[-1] and third.pooled_dim == whole.pooled_dim
    with pytest.raises(FindError, match="has 4 layers, not 5"):
        OpenClipLanguage(model, tokenizer=backend, spec="test", layer=5)


def test_text_towers_with_a_class_token_are_refused():
    config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    config["text_cfg"] |= {"embed_cls": True}
    tower = open_clip.model.CustomTextCLIP(**config)
    with pytest.raises(FindError, match="class token"):
        OpenClipLanguage(tower, tokenizer=fast_tokenizer(f"local-dir:{FOLDER}")[0], spec="test")
