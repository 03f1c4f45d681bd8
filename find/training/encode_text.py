"""`findvl data encode-text`: fills the language cache with all texts that training on a data folder needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from find.errors import InputError

if TYPE_CHECKING:
    from find.data.data_split import DataSplit


def add_encode_text(data: argparse._SubParsersAction) -> None:
    """Adds `encode-text` to `findvl data`."""
    text = "encode the texts of a data folder into the language cache before training"
    parser = data.add_parser(
        "encode-text",
        help=text,
        description=f"{text}. Give the cache to training by --model.text_cache. Sentences in which regions stand for "
        "words are drawn in each step and are not included. An interrupted run resumes.",
        epilog="examples:\n"
        "  findvl data encode-text datasets/coco -c coco/dinov3l_qwen3\n"
        "  findvl data encode-text datasets/coco --language transformers:Qwen/Qwen3-0.6B#12 --out cache\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", type=Path, help="a folder in COCO's layout, or in the layout of the --data reader")
    parser.add_argument("--data", metavar="READER", default="coco", help="coco, yolo ... (default: %(default)s)")
    parser.add_argument("-c", "--config", help="a config of `findvl fit`, for the language encoder and class prompt")
    parser.add_argument("--language", metavar="SPEC", help="a language encoder, instead of the config's")
    parser.add_argument("--dtype", help="the encoder's type, instead of the config's: float32, float16 or bfloat16")
    parser.add_argument("--out", type=Path, help="the cache's folder (default: the config's model.text_cache)")
    parser.add_argument(
        "--split", action="append", help="can be repeated (default: the training and validation splits)"
    )
    parser.add_argument("--batch-size", type=int, default=256, help="texts at a time (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)")
    parser.set_defaults(run=encode_text)


def encode_text(arguments: argparse.Namespace) -> int:
    settings = _read_settings(arguments.config) if arguments.config else {}
    values = dict(settings.get("config", {}))
    if arguments.language:
        values["language"] = arguments.language
    if arguments.dtype:
        values["language_dtype"] = arguments.dtype
    if "language" not in values:
        raise InputError("which language encoder? Give -c CONFIG or --language SPEC")
    out = arguments.out or settings.get("text_cache")
    if out is None:
        raise InputError("where to? Give --out FOLDER, and the same folder to training as --model.text_cache")

    import torch

    from find.data.data_split import load_reader
    from find.foundations import load_language
    from find.foundations.tokenization import TextTokenizer
    from find.model.config import FINDConfig
    from find.training.text_cache import CachedLanguage
    from find.utils.device import choose_device

    config = FINDConfig.from_dict(values, source=str(arguments.config or "--language"))
    reader = load_reader(arguments.data)
    splits = arguments.split or [reader.train_split, reader.val_split]
    folders = [reader(arguments.root, split) for split in splits]
    device = choose_device(arguments.device)
    encoder = load_language(config.language, dtype=getattr(torch, config.language_dtype), long_texts=config.long_texts)
    if isinstance(encoder, torch.nn.Module):
        encoder.to(device)
    cached = CachedLanguage(encoder, out)
    texts = {text for folder in folders for text in texts_of(folder, class_prompt=config.class_prompt)}
    print(cached.fill(texts, batch_size=arguments.batch_size))
    if isinstance(encoder.tokenize, TextTokenizer) and encoder.tokenize.cut:  # other tokenizers do not count them
        print(f"{encoder.tokenize.cut} texts have more than {encoder.context_length} tokens and were cut")
    return 0


def texts_of(folder: DataSplit, *, class_prompt: str = "{}") -> Iterator[str]:
    """Captions, sentences, their phrases, referring expressions and class names, as training reads them."""
    for category in folder.categories:
        yield category.words
        yield class_prompt.format(category.words)
    for image_id in folder.image_ids:
        yield from folder.captions_of(image_id)
    for sentence in folder.sentences:
        yield sentence.text
        yield from (phrase.text.strip() for phrase in sentence.phrases)
    for expression in folder.expressions:
        yield expression.text


def _read_settings(config: str) -> dict:
    """The `model` part of a config of `findvl fit`."""
    import yaml

    from find.training.configs import find_config, in_root

    file = find_config(config)
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    model = settings.get("model") if isinstance(settings, dict) else None
    if not isinstance(model, dict):
        raise InputError(f"{file} is not a config of `findvl fit`: it has no section `model`")
    model = dict(model.get("init_args", model))
    root = (settings.get("trainer") or {}).get("default_root_dir")
    return model | {"text_cache": in_root(model.get("text_cache"), root)}
