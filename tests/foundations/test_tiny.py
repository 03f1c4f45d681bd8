"""The shipped pair: open_clip loads the same, it knows the world's words, and it tells them and pictures apart."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from find.data.coco import CocoFolder
from find.errors import FindError
from find.foundations import fingerprint, load_language, load_vision, tiny
from find.foundations.tiny import FOLDER, HEAD_WEIGHTS, WEIGHTS, word_tokenizer
from find.world import generate_world
from find.world.kinds import COLOURS, STUFF, THINGS

LIMIT = 10e6  # bytes; all weights of the package together may have 24 MB


@pytest.fixture(scope="module")
def pair():
    return tiny.tiny_vision(), tiny.tiny_language()


def test_open_clip_itself_loads_the_same_model(pair):
    vision, language = pair
    model = open_clip.create_model(f"local-dir:{FOLDER}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{FOLDER}")
    texts = ["a small red dog next to the [region]", "Grass."]
    image = torch.randint(0, 256, (1, 3, 160, 160), dtype=torch.uint8)
    mean, std = (torch.tensor(model.visual.preprocess_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        expected_texts = model.encode_text(tokenizer(texts))
        expected_image = model.encode_image((image / 255 - mean) / std)
    torch.testing.assert_close(language(language.tokenize(texts)).pooled, expected_texts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vision(image).pooled, expected_image, rtol=1e-4, atol=1e-4)


def test_both_towers_work_in_half_precision(pair):
    vision, language = load_vision(dtype=torch.bfloat16), load_language(dtype=torch.bfloat16)
    image = torch.randint(0, 256, (1, 3, 160, 160), dtype=torch.uint8)
    text = language.tokenize(["a small red dog"])
    for near, exact in ((vision(image).pooled, pair[0](image).pooled), (language(text).pooled, pair[1](text).pooled)):
        assert near.dtype == torch.bfloat16
        assert torch.cosine_similarity(near.float(), exact).min() > 0.99


def test_every_class_name_of_the_world_is_known_and_a_foreign_word_is_not(pair):
    _, language = pair
    names = [noun for kind in (*THINGS, *STUFF) for noun in kind.nouns] + [c.name for c in COLOURS]
    assert not any(language.tokenize(names).unknown)
    assert language.tokenize(["a wombat on the grass"]).unknown == (("wombat",),)


def test_words_and_pictures_of_the_same_thing_are_nearest(pair, tmp_path):
    """Zero-shot on a fresh little world: each sentence finds its picture far above chance."""
    vision, language = pair
    generate_world(tmp_path, images=1, val_images=48, seed=12345, workers=1, progress=False)
    folder = CocoFolder(tmp_path, "val2017")
    images = torch.from_numpy(np.stack([s.image for s in folder]).transpose(0, 3, 1, 2).copy())
    texts = [folder.sentences_of(i)[0].text for i in folder.image_ids]
    a, b = vision(images).pooled, language(language.tokenize(texts)).pooled
    similarity = torch.nn.functional.normalize(a, dim=-1) @ torch.nn.functional.normalize(b, dim=-1).T
    rank = (similarity > similarity.diagonal()).sum(0)
    assert (rank < 5).float().mean() > 0.9


def test_the_mean_of_the_aligned_features_inside_a_mask_is_nearest_to_its_noun(pair, tmp_path):
    """Nine of ten segments of a fresh little world are named right among all kinds, from their pixels alone."""
    vision, language = pair
    generate_world(tmp_path, images=1, val_images=24, seed=54321, workers=1, progress=False)
    folder = CocoFolder(tmp_path, "val2017")
    names = {category.id: number for number, category in enumerate(folder.categories)}
    texts = language(language.tokenize([category.words for category in folder.categories])).pooled
    right = []
    for sample in folder:
        aligned = vision(torch.from_numpy(sample.image.transpose(2, 0, 1).copy())[None]).aligned
        for segment in sample.segments:
            if segment.area < 100:
                continue
            inside = torch.from_numpy(sample.segment_map == segment.id).float()[None, None]
            weights = torch.nn.functional.adaptive_avg_pool2d(inside, aligned.shape[-2:])
            region = (aligned * weights).sum((0, 2, 3))
            best = torch.cosine_similarity(region[None], texts, dim=-1).argmax()
            right.append(int(best) == names[segment.category_id])
    assert len(right) > 80 and np.mean(right) > 0.9


def test_the_placeholder_is_a_word_of_its_own(pair):
    _, language = pair
    assert language.placeholder == tiny.REGION
    tokenized = language.tokenize(["a [region] on grass"])
    assert tokenized.ids.shape[1] == 6 and not tokenized.unknown[0]


def test_loading_twice_gives_the_same_fingerprint(pair):
    vision, language = pair
    assert fingerprint(load_vision("tiny")) == fingerprint(vision)
    assert fingerprint(load_language("tiny")) == fingerprint(language)
    assert fingerprint(load_vision("random:tiny")) != fingerprint(vision)
    assert vision.spec == language.spec == "tiny"


def test_what_ships_is_small_and_complete():
    files = {f.name: f.stat().st_size for f in FOLDER.iterdir()}
    assert set(files) == {
        WEIGHTS, HEAD_WEIGHTS, "open_clip_config.json", "tokenizer.json", "tokenizer_config.json", "MODEL_CARD.md"
    }  # fmt: skip
    assert files[WEIGHTS] + files[HEAD_WEIGHTS] <= LIMIT
    config = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))
    assert config["model_cfg"]["text_cfg"]["vocab_size"] == load_language("tiny").tokenize.backend.get_vocab_size()


def test_missing_weights_are_told_by_file(monkeypatch, tmp_path):
    monkeypatch.setattr(tiny, "FOLDER", Path(tmp_path))
    with pytest.raises(FindError, match=WEIGHTS):
        tiny.tiny_vision()


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), max_size=20))
def test_a_word_tokenizer_gives_the_end_the_largest_id_and_the_padding_zero(words):
    tokenizer = word_tokenizer(words)
    ids = tokenizer.get_vocab()
    assert ids[tiny.PAD] == 0 and ids[tiny.END] == max(ids.values()) == len(ids) - 1
    assert sorted(ids.values()) == list(range(len(ids)))
