"""`findvl data encode-text` fills the cache; training asks the encoder for sentences with regions alone."""

import pytest
import torch
import yaml
from small_run import CONFIG

from find.cli.main import main
from find.data.coco import CocoFolder
from find.foundations import load_language
from find.model.config import FINDConfig
from find.query.query import RenderedQuery
from find.tasks.grounding import Phrases
from find.tasks.text_inputs import Sentences, read_texts
from find.training.criterion import Criterion
from find.training.encode_text import texts_of
from find.training.module import FINDModule
from find.training.text_cache import CachedLanguage

SPLIT = ("--split", "train2017")


def test_all_texts_that_training_reads_are_in_it(shared, tmp_path, data, batch, capsys):
    assert main(["data", "encode-text", str(shared / "camvid-coco"), "--language", "random:tiny", *SPLIT,
                 "--out", str(tmp_path)]) == 0  # fmt: skip
    folder = CocoFolder(shared / "camvid-coco", "train2017")
    said = capsys.readouterr().out
    cached = CachedLanguage(load_language("random:tiny"), tmp_path)
    names = [category.words for category in folder.categories]
    plain = [query.text for query in batch.drawn["interleaved_segmentation"].queries if not any(query.is_region)]
    texts = [*batch.captions, *(text for row in batch.drawn["grounding"].texts for text in row), *names, *plain]
    cached(cached.tokenize(texts))
    assert cached.report().found == len(texts)
    again = cached.fill(texts_of(folder), progress=False)
    assert f"it holds {again.texts} texts" in said


def test_a_config_names_encoder_prompt_and_place(shared, tmp_path, capsys):
    values = {**CONFIG.to_dict(), "class_prompt": "this is {}"}
    file, root = tmp_path / "config.yaml", {"trainer": {"default_root_dir": str(tmp_path)}}
    file.write_text(yaml.safe_dump({"model": {"config": values, "text_cache": "{default_root_dir}/cache"}, **root}))
    assert main(["data", "encode-text", str(shared / "camvid-coco"), "-c", str(file), *SPLIT]) == 0
    cached = CachedLanguage(load_language("random:tiny"), tmp_path / "cache")
    folder = CocoFolder(shared / "camvid-coco", "train2017")
    cached(cached.tokenize([f"this is {category.words}" for category in folder.categories]))
    assert cached.report().found == len(folder.categories)
    capsys.readouterr()
    assert main(["data", "encode-text", str(shared / "camvid-coco"), *SPLIT]) == 2
    assert "Give -c CONFIG or --language SPEC" in capsys.readouterr().err
    assert main(["data", "encode-text", str(shared / "camvid-coco"), "--language", "random:tiny"]) == 2
    assert "--out FOLDER" in capsys.readouterr().err


def test_a_cache_changes_no_loss_and_class_names_are_read_once(batch, data, tmp_path):
    names = [category.words for category in data.categories]
    losses = []
    for options in ({}, {"text_cache": str(tmp_path)}):
        torch.manual_seed(0)
        module = FINDModule(CONFIG, **options).eval()
        asked = []
        reads = module.find.language.tokenize
        module.find.language.tokenize = lambda texts, reads=reads, asked=asked: asked.extend(texts) or reads(texts)
        for _ in range(2):
            torch.manual_seed(1)
            losses.append({k: v.item() for k, v in module.criterion(module.find, batch, names).items()})
        assert asked.count(names[0]) == 1 + 2 * sum(names[0] == t for t in [*batch.captions, *_distinct(batch)])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-4)
    report = module.text_cache.report()
    assert report.found > report.looked_up / 3


def _distinct(batch) -> set[str]:
    return {text for row in batch.drawn["grounding"].texts for text in row}


def test_an_entity_beyond_what_the_encoder_reads_is_told_and_left_out(tmp_path):
    language = load_language("random:tiny")
    long = "a dog " * 60
    with pytest.raises(Exception, match="more than the 96"):
        language.tokenize([long])
    model = FINDModule(FINDConfig.from_dict(CONFIG.to_dict() | {"long_texts": "cut"}, source="test")).find
    sentences = [
        RenderedQuery("a dog " * 60 + "a cat", ((2, 5), (360, 365)), (False, False)),
        RenderedQuery("a dog", ((2, 5),), (False,)),
    ]
    with pytest.warns(UserWarning, match="first 96 tokens"):
        read = Sentences.read(model.language, sentences, torch.device("cpu"))
    assert read.truncated_entities == ((0, 1),)
    assert read.padding.tolist() == [[False, True], [False, True]]


def test_phrases_and_texts_are_the_same_with_a_cache(tmp_path):
    encoder = load_language("random:tiny")
    cached = CachedLanguage(load_language("random:tiny"), tmp_path)
    for _ in range(2):
        for language in (encoder, cached):
            phrases = Phrases.read(language, [["a dog", "grass"], ["a dog"]], torch.device("cpu"))
            assert phrases.tokens.shape[:2] == (2, 2) and phrases.padding.tolist() == [[False, False], [False, True]]
        ours, theirs = (read_texts(e, ["a dog", "two cats"], torch.device("cpu")) for e in (cached, encoder))
        torch.testing.assert_close(ours.tokens, theirs.tokens, rtol=1e-4, atol=1e-5)


def test_a_criterion_reads_other_class_names_anew(batch, data):
    module, names = FINDModule(CONFIG), [category.words for category in data.categories]
    criterion = Criterion()
    first = criterion._read_texts(module.find, "panoptic", tuple(names))
    assert criterion._read_texts(module.find, "panoptic", tuple(names)) is first
    assert criterion._read_texts(module.find, "panoptic", tuple(names[:1])).tokens.shape[0] == 1
