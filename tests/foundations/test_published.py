"""Focal networks and LLaMA as foundations: small untrained ones keep what the protocols promise."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import LlamaConfig, LlamaModel

from find.errors import FindError
from find.foundations import load_language, load_vision
from find.foundations.focal import CONFIG, Flavour, FocalConfig


@pytest.fixture(scope="module", params=list(Flavour))
def focal(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("focal")
    sizes = FocalConfig(request.param, width=8, depths=(1, 1, 1, 1), levels=(2, 2, 2, 2))
    (folder / CONFIG).write_text(json.dumps(sizes.to_dict()))
    return load_vision(f"random:focal:{folder}")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A folder with a LLaMA of three blocks and a tokenizer of single characters."""
    folder = tmp_path_factory.mktemp("llama")
    characters = {c: i for i, c in enumerate(["<unk>", "<s>", "</s>", "\u2581", *"abcdefghijklmnopqrstuvwxyz[]IR"])}
    tokenizer = Tokenizer(models.BPE(characters, [], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    LlamaModel(config).save_pretrained(folder)
    return folder


def test_focal_maps_have_the_promised_sizes(focal):
    features = focal(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    for features_map, stride, channels in zip(features.maps, focal.strides, focal.channels, strict=True):
        assert features_map.shape == (2, channels, 64 // stride, 96 // stride)
    assert features.pooled is None


def test_focal_is_frozen_and_sees_images_alone(focal):
    images = torch.randint(0, 255, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    together, alone = focal.train()(images), focal(images[1:])
    assert not focal.training
    assert not together.maps[0].requires_grad
    torch.testing.assert_close(together.maps[3][1:], alone.maps[3], rtol=1e-5, atol=1e-5)


def test_llama_is_read_after_the_block_that_is_asked_for(llama):
    whole = LlamaModel.from_pretrained(llama).eval()
    cut = load_language(f"llama:{llama}#2")
    text = cut.tokenize(["a red cat"])
    with torch.no_grad():
        wanted = whole(input_ids=text.ids, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(cut(text).tokens, wanted, rtol=1e-5, atol=1e-5)
    assert len(cut.model.layers) == 2


def test_llama_gives_a_text_the_same_features_in_any_batch(llama):
    language = load_language(f"llama:{llama}#2")
    both = language(language.tokenize(["a cat", "a much longer text"]))
    alone = language(language.tokenize(["a cat"]))
    length = alone.tokens.shape[1]
    torch.testing.assert_close(both.tokens[0, :length], alone.tokens[0], rtol=1e-5, atol=1e-5)
    assert not both.tokens[0, length:].any()
    assert both.padding[0].tolist() == [False] * length + [True] * (both.padding.shape[1] - length)


def test_offsets_leave_spaces_out_and_sentencepiece_offsets_keep_them(llama):
    language = load_language(f"llama:{llama}#1")
    text = "a b"
    own = language.tokenize([text]).offsets[0].tolist()
    assert own == [[0, 0], [0, 1], [0, 0], [2, 3]]  # start, a, space, b
    assert language.sentencepiece_offsets([text])[0].tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("load", "spec", "expected"),
    [
        (load_vision, "focal:/nowhere", "no focal network in /nowhere"),
        (load_language, "llama:/nowhere#3", "there is no folder '/nowhere"),
        (load_language, "llama:/nowhere#three", "number of a block"),
        (load_vision, "focal:", "unknown foundation"),
    ],
)
def test_what_is_not_there_is_told(load, spec, expected):
    with pytest.raises(FindError, match=expected):
        load(spec)


def test_too_many_blocks_and_too_long_texts_are_told(llama):
    with pytest.raises(FindError, match="has 3 blocks, not 7"):
        load_language(f"llama:{llama}#7")
    with pytest.raises(FindError, match="shorten it"):
        load_language(f"llama:{llama}#1").tokenize(["a" * 40])


def test_llama_with_missing_weights_is_told(llama, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((llama / file).read_bytes())
    weights = load_file(llama / "model.safetensors")
    del weights["layers.0.self_attn.q_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FindError, match=r"lack 1 weights, such as layers\.0\.self_attn\.q_proj"):
        load_language(f"llama:{tmp_path}#2")
