"""Claims about MTEB's harness: with the package its own tasks run, without it what its protocol asks for."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from find import FIND, Encoder, InputError
from find.integrations.mteb import MtebEncoder

PAIRS = {"sentence1": ["a red dog", "a blue car", "a cat"], "sentence2": ["a red dog", "a blue bus", "a tree"]}
SCORES = [5.0, 3.0, 0.0]


@pytest.fixture(scope="module")
def encoder():
    return MtebEncoder(Encoder(FIND.from_pretrained("find-tiny")))


def _loader(rows, batch_size=2):
    """What MTEB's tasks give: batches of dicts with a list for each column."""
    return DataLoader(
        rows, batch_size=batch_size, collate_fn=lambda batch: {k: [r[k] for r in batch] for k in batch[0]}
    )


def _asked(encoder, rows):
    about = {"task_metadata": None, "hf_split": "test", "hf_subset": "default", "prompt_type": None}
    return encoder.encode(_loader(rows), **about, batch_size=2, show_progress_bar=False)


def test_batches_of_texts_are_captions_as_they_stand(encoder):
    texts = ["a red dog", "a {blue] car", "a cat"]
    rows = _asked(encoder, [{"text": text} for text in texts])
    torch.testing.assert_close(rows, encoder.encoder.model.embed_texts(texts), atol=1e-5, rtol=0)
    assert encoder.similarity(rows, rows).shape == (3, 3)
    torch.testing.assert_close(encoder.similarity_pairwise(rows, rows), torch.ones(3))


def test_batches_of_images_and_of_both(encoder):
    dice = np.random.default_rng(0)
    images = [Image.fromarray(dice.integers(0, 255, (40, 50, 3), dtype=np.uint8)) for _ in range(3)]
    model = encoder.encoder.model
    alone = model.embed_images(images).image
    torch.testing.assert_close(_asked(encoder, [{"image": image} for image in images]), alone, atol=1e-5, rtol=0)
    both = _asked(encoder, [{"image": image, "text": "a dog"} for image in images])
    mean = torch.nn.functional.normalize(alone + model.embed_texts("a dog"), dim=-1)
    torch.testing.assert_close(both, mean, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="a batch holds audio"):
        _asked(encoder, [{"audio": 0}])


def test_a_task_of_mteb_runs(encoder):
    mteb = pytest.importorskip("mteb", reason="needs: pip install 'findvl[mteb]'")
    from datasets import Dataset
    from mteb.abstasks.sts import AbsTaskSTS

    unknown = dict.fromkeys(
        ("reference", "date", "domains", "task_subtypes", "license", "annotations_creators", "dialect")
    )

    class Pairs(AbsTaskSTS):
        metadata = mteb.TaskMetadata(
            name="Pairs",
            description="three pairs of phrases",
            dataset={"path": "find/pairs", "revision": "1"},
            type="STS",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
            sample_creation=None,
            bibtex_citation="",
            **unknown,
        )
        min_score, max_score = 0, 5

        def load_data(self, *_, **__):
            self.dataset = {"test": Dataset.from_dict(PAIRS | {"score": SCORES})}
            self.data_loaded = True

    result = mteb.evaluate(encoder, [Pairs()], cache=None, overwrite_strategy="always", show_progress_bar=False)
    (scores,) = result[0].scores["test"]
    similar = encoder.encoder.similarity_pairwise(*(encoder.encoder.encode(texts) for texts in PAIRS.values()))
    assert scores["cosine_pearson"] == pytest.approx(np.corrcoef(similar, SCORES)[0, 1], abs=1e-4)
