"""The language cache: what the encoder would give, encoded once, found again by another process."""

import json

import pytest
import torch

from find.foundations import LanguageEncoder, fingerprint, load_language
from find.training.text_cache import CachedLanguage

TEXTS = ["a red dog", "grass", "", "Two cats stand in front of a large blue car", "a red dog", "A RED dog"]


class Counting(torch.nn.Module):
    """An encoder that remembers how many texts it was asked for."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.texts = 0
        for name in ("spec", "width", "pooled_dim", "context_length", "placeholder", "dtype", "tokenize"):
            setattr(self, name, getattr(encoder, name))

    def forward(self, tokenized):
        self.texts += len(tokenized.ids)
        return self.encoder(tokenized)


@pytest.fixture
def encoder():
    return Counting(load_language("random:tiny"))


def same(cached: CachedLanguage, encoder, texts) -> None:
    got, wanted = cached(cached.tokenize(texts)), encoder(encoder.tokenize(texts))
    for name in ("tokens", "pooled"):
        torch.testing.assert_close(getattr(got, name), getattr(wanted, name), rtol=1e-4, atol=1e-5)
    assert torch.equal(got.padding, wanted.padding) and torch.equal(got.offsets, wanted.offsets)


def test_it_gives_what_the_encoder_gives_and_asks_it_once_a_text(encoder, tmp_path):
    cached = CachedLanguage(encoder, tmp_path)
    assert isinstance(cached, LanguageEncoder)
    encoder.texts = 0
    cached(cached.tokenize(TEXTS))
    assert encoder.texts == 4  # by tokens: this one reads all letters as small ones
    cached(cached.tokenize(TEXTS[::-1]))
    assert encoder.texts == 4
    same(cached, encoder.encoder, TEXTS)
    report = cached.report()
    assert (report.looked_up, report.found, report.texts) == (18, 12, 4)
    assert "66.7 %" in str(report)


def test_another_process_finds_what_was_flushed(encoder, tmp_path):
    report = CachedLanguage(encoder, tmp_path).fill(TEXTS, progress=False, batch_size=2)
    assert report.texts == 4 and report.megabytes > 0
    again = CachedLanguage(encoder, tmp_path)
    encoder.texts = 0
    same(again, encoder.encoder, TEXTS)
    assert encoder.texts == 0 and again.report().found == len(TEXTS)
    about = json.loads((again.store.folder / "about.json").read_text())
    assert about["spec"] == "random:tiny" and about["fingerprint"] == fingerprint(encoder)


def test_other_weights_have_another_cache(encoder, tmp_path):
    CachedLanguage(encoder, tmp_path).fill(TEXTS, progress=False)
    trained = CachedLanguage(load_language("tiny"), tmp_path)
    same(trained, load_language("tiny"), TEXTS)
    assert len(list(tmp_path.iterdir())) == 2


def test_it_is_the_same_foundation_for_checkpoints(tmp_path):
    encoder = load_language("random:tiny")
    cached = CachedLanguage(encoder, tmp_path)
    assert fingerprint(cached) == fingerprint(encoder)
    assert torch.nn.ModuleDict({"language": cached}).state_dict().keys() == {
        f"language.{name}" for name in encoder.state_dict()
    }
    assert not cached.train().training and not any(p.requires_grad for p in cached.parameters())


def test_low_precision_is_kept_as_it_is(tmp_path):
    encoder = load_language("random:tiny", dtype=torch.bfloat16)
    cached = CachedLanguage(encoder, tmp_path)
    cached.fill(TEXTS, progress=False)
    got, wanted = (e(e.tokenize(TEXTS)) for e in (cached, encoder))
    assert got.tokens.dtype == wanted.tokens.dtype == torch.bfloat16
    assert torch.cosine_similarity(got.pooled.float(), wanted.pooled.float()).min() > 0.999


def test_no_texts_are_no_features(encoder, tmp_path):
    cached = CachedLanguage(encoder, tmp_path)
    assert cached(cached.tokenize(["a"])).tokens.shape[0] == 1
    assert cached.tokenize([]).ids.shape == (0, 0)
