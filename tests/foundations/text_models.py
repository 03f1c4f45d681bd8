"""Folders of small text models: each family's real architecture and tokenizer class, the vocabulary trained here."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    Gemma3TextModel,
    GemmaTokenizer,
    LlamaConfig,
    LlamaModel,
    LlamaTokenizer,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    T5Config,
    T5Model,
    T5Tokenizer,
)

CORPUS = [
    "a small red dog, next to the region. Two cats stand in front of a large blue car; the sky is above them!",
    "A man and a woman ride their bikes (the region) past 12 houses, 3 trees & the region: region's shadow",
    "naïve café, İstanbul, Straße, 日本語 の テキスト, 한국어, 🙂 emoji, हिन्दी, e\u0301, ﬁne",
] * 8
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3}
VISION = SIZES | {"image_size": 32, "patch_size": 16}

DECODERS = ("llama", "qwen3", "gemma3")
ENCODERS = ("bert", "roberta", "modernbert", "t5")
TOWERS = ("clip", "siglip", "siglip2")
FAMILIES = (*DECODERS, *ENCODERS, *TOWERS)


def write_text_model(family: str, folder: Path) -> Path:
    """Writes weights and tokenizer of a family into a folder of its name."""
    folder = folder / family
    tokenizer = _tokenizer(family)
    size = max(len(tokenizer), 10)
    torch.manual_seed(1)
    _model(family, size, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_composite(folder: Path) -> tuple[Path, torch.nn.Module]:
    """Writes a Gemma 3 that reads images too, and gives its language model."""
    tokenizer = _tokenizer("gemma3")
    text = SIZES | {"vocab_size": len(tokenizer), "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
    tokens = {"image_token_index": 3, "boi_token_index": 3, "eoi_token_index": 3}
    torch.manual_seed(1)
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=VISION, **tokens)).eval()
    model.save_pretrained(folder / "composite")
    tokenizer.save_pretrained(folder / "composite")
    return folder / "composite", model.model.language_model


def _model(family: str, size: int, tokenizer) -> torch.nn.Module:
    sizes = SIZES | {"vocab_size": size}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    decoder = sizes | ends | {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
    padding = {"pad_token_id": tokenizer.pad_token_id}
    if family == "llama":
        return LlamaModel(LlamaConfig(**decoder))
    if family == "qwen3":
        return Qwen3Model(Qwen3Config(**decoder))
    if family == "gemma3":
        return Gemma3TextModel(Gemma3TextConfig(**decoder | padding, sliding_window=8))
    if family == "bert":
        return BertModel(BertConfig(**sizes, max_position_embeddings=64))
    if family == "roberta":
        return RobertaModel(RobertaConfig(**sizes | padding, max_position_embeddings=66, type_vocab_size=1))
    if family == "modernbert":
        return ModernBertModel(ModernBertConfig(**sizes | padding, max_position_embeddings=64, local_attention=8))
    if family == "t5":
        return T5Model(T5Config(vocab_size=size, d_model=16, d_ff=24, d_kv=8, num_layers=3, num_heads=2))
    text = sizes | {"max_position_embeddings": 64}
    if family == "clip":
        config = CLIPConfig(text_config=text | ends | padding, vision_config=VISION, projection_dim=12)
        return CLIPModel(config)
    kind, model = (SiglipConfig, SiglipModel) if family == "siglip" else (Siglip2Config, Siglip2Model)
    vision = VISION if family == "siglip" else VISION | {"num_patches": 4}
    return model(kind(text_config=text | {"projection_size": 12}, vision_config=vision))


def _tokenizer(family: str):
    limit = {"model_max_length": 64}
    if family == "bert":
        return BertTokenizer(vocab=_word_pieces(), **limit)
    if family == "clip":
        vocab, merges = _byte_pairs(["<|startoftext|>", "<|endoftext|>"], suffix="</w>")
        return CLIPTokenizer(vocab=vocab, merges=merges, **limit)
    if family in ("qwen3", "roberta", "modernbert"):
        specials = {"qwen3": ["<|endoftext|>"], "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]}
        vocab, merges = _byte_pairs(specials.get(family, ["<|endoftext|>", "[UNK]", "[CLS]", "[SEP]", "[PAD]"]))
        if family == "roberta":
            return RobertaTokenizer(vocab=vocab, merges=merges, **limit)
        own = Qwen2Tokenizer(vocab=vocab, merges=merges, **limit)
        if family == "qwen3":
            return own
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
        backend = own.backend_tokenizer
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[(name, vocab[name]) for name in ("[CLS]", "[SEP]")]
        )
        return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **limit)
    if family == "t5":
        return T5Tokenizer(vocab=_unigrams(), extra_ids=0, **limit)
    vocab, merges = _sentence_pieces(llama=family == "llama")
    if family == "llama":
        return LlamaTokenizer(vocab=vocab, merges=merges, **limit)
    own = GemmaTokenizer(vocab=vocab, merges=merges, **limit)
    if family == "gemma3":
        return own
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", vocab["<eos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=own.backend_tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", **limit,
        padding_side="left" if family == "siglip" else "right",
    )  # fmt: skip


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer) -> dict:
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


def _word_pieces() -> dict[str, int]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=200, special_tokens=specials))["vocab"]


def _byte_pairs(specials: list[str], *, suffix: str = "") -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=specials, initial_alphabet=alphabet, end_of_word_suffix=suffix
    )
    found = _trained(tokenizer, trainer)
    vocab = found["vocab"]
    if suffix:  # every byte may end a word
        for character in alphabet:
            vocab.setdefault(character + suffix, len(vocab))
    if specials == ["<|startoftext|>", "<|endoftext|>"]:  # CLIP's are the last
        for name in specials:
            vocab[name] = max(vocab.values()) + 1
        vocab = {name: number for number, name in enumerate(sorted(vocab, key=vocab.get))}
    return vocab, [tuple(pair) for pair in found["merges"]]


def _sentence_pieces(*, llama: bool) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-pair encoding on characters with the 256 bytes behind, as LLaMA and Gemma have it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    words = [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Punctuation()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)  # in training alone
    tokenizer.decoder = decoders.ByteFallback()
    specials = ["<unk>", "<s>", "</s>"] if llama else ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    specials += [f"<0x{byte:02X}>" for byte in range(256)]
    found = _trained(tokenizer, trainers.BpeTrainer(vocab_size=600, special_tokens=specials))
    return found["vocab"], [tuple(pair) for pair in found["merges"]]


def _unigrams() -> list[tuple[str, float]]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=180, special_tokens=specials, unk_token="<unk>")
    return [(piece, score) for piece, score in _trained(tokenizer, trainer)["vocab"]]
