"""What the language cache saves of a training step, for the tiny pair's text tower and for a LLaMA with random weights.

    python benchmark/text_cache.py data/world --batches 40

Each encoder reads the texts of the same batches three times over: by itself, into an empty cache, and out of it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from find.data.batch import Batch
from find.foundations import LanguageEncoder, load_language
from find.foundations.llama import LlamaLanguage
from find.foundations.tokenization import TextTokenizer
from find.foundations.transformers_text import remove_final_norm
from find.tasks.grounding import Phrases
from find.tasks.text_inputs import Sentences, read_texts
from find.training.datamodule import FindDataModule
from find.training.text_cache import CachedLanguage


def random_llama(*, width: int, blocks: int) -> LanguageEncoder:
    """A LLaMA of a given size behind the tiny pair's tokenizer."""
    from transformers import LlamaConfig, LlamaModel

    tokenizer = load_language("tiny").tokenize.backend
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=width, intermediate_size=3 * width,
        num_hidden_layers=blocks, num_attention_heads=width // 64,
    )  # fmt: skip
    model = LlamaModel(config)
    remove_final_norm(model, blocks=blocks)
    spec = f"random:llama:{width}#{blocks}"
    text = TextTokenizer(tokenizer, context_length=2048, padding_id=0, spec=spec)
    return LlamaLanguage(model, tokenizer=text, spec=spec)


def milliseconds_a_step(language: LanguageEncoder, batches: list[Batch]) -> float:
    """To read a batch's phrases, sentences and captions; class names are read once a run in any case."""
    device = next(language.parameters()).device
    begin = time.perf_counter()
    with torch.no_grad():
        for batch in batches:
            Phrases.read(language, batch.drawn["grounding"].texts, device)
            Sentences.read(language, batch.drawn["interleaved_segmentation"].queries, device)
            read_texts(language, batch.captions, device)
    return 1000 * (time.perf_counter() - begin) / len(batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a folder in COCO's layout")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--width", type=int, default=512, help="of the LLaMA")
    parser.add_argument("--blocks", type=int, default=8, help="of the LLaMA")
    arguments = parser.parse_args()
    tiny = load_language("tiny")
    data = FindDataModule(
        arguments.root,
        train_split=arguments.split,
        val_split=arguments.split,
        batch_size=arguments.batch_size,
        placeholder=tiny.placeholder,
    )
    data.setup()
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(arguments.batches), strict=False)]
    for language in (tiny, random_llama(width=arguments.width, blocks=arguments.blocks)):
        with tempfile.TemporaryDirectory() as folder:
            milliseconds_a_step(language, batches[:2])  # warm-up
            alone = milliseconds_a_step(language, batches)
            filling = milliseconds_a_step(CachedLanguage(language, folder), batches)
            cached = CachedLanguage(language, folder)  # nothing was flushed: fill it as `findvl data encode-text` does
            milliseconds_a_step(cached, batches)
            cached.store.flush()
            full = CachedLanguage(language, folder)
            warm = milliseconds_a_step(full, batches)
        print(f"{language.spec}: {alone:.1f} ms a step alone, {filling:.1f} filling, {warm:.1f} full; {full.report()}")


if __name__ == "__main__":
    main()
