"""Folders of small baselines: each library's real architecture, processor and tokenizer, with random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from text_models import write_text_model
from transformers import (
    AutoTokenizer,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    EomtConfig,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLModel,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3Model,
    Sam3Processor,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Processor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
    SwinConfig,
    ViTImageProcessor,
)
from vision_models import small_configs

VIT = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3}


def write_open_clip(folder: Path) -> str:
    """open_clip's own folder of a small CLIP; gives the spec's name."""
    folder = folder / "open_clip"
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    torch.manual_seed(0)
    model = open_clip.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def write_siglip2(folder: Path) -> str:
    tokenizer = _tokenizer("siglip2", folder)
    text = {**VIT, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 16}
    config = SiglipConfig(text_config=text, vision_config={**VIT, "image_size": 32, "patch_size": 8})
    processor = SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    return _save(SiglipModel, config, processor, folder / "siglip2")


def write_siglip2_naflex(folder: Path) -> str:
    tokenizer = _tokenizer("siglip2", folder)
    text = {**VIT, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 16}
    config = Siglip2Config(text_config=text, vision_config={**VIT, "num_patches": 16, "patch_size": 16})
    processor = Siglip2Processor(Siglip2ImageProcessor(patch_size=16, max_num_patches=16), tokenizer)
    return _save(Siglip2Model, config, processor, folder / "naflex")


def write_qwen_vl(folder: Path) -> str:
    tokenizer = _tokenizer("qwen3", folder)
    marks = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in marks}
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
        "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=template,
    )
    config = Qwen2_5_VLConfig(
        text_config={
            **VIT,
            "num_hidden_layers": 2,
            "num_key_value_heads": 1,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": 16,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return _save(Qwen2_5_VLModel, config, processor, folder / "qwen")


def write_clipseg(folder: Path) -> str:
    tokenizer = _tokenizer("clip", folder)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = CLIPSegConfig(
        text_config={**VIT, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 64},
        vision_config={**VIT, "image_size": 32, "patch_size": 8},
        projection_dim=12,
        extract_layers=[0, 1, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    processor = CLIPSegProcessor(ViTImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    return _save(CLIPSegForImageSegmentation, config, processor, folder / "clipseg")


def write_grounding_dino(folder: Path) -> str:
    tokenizer = _tokenizer("bert", folder)
    backbone = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = {**VIT, "model_type": "bert", "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    layers = {f"{part}_{name}": value for part in ("encoder", "decoder")
              for name, value in {"layers": 2, "ffn_dim": 32, "attention_heads": 2, "n_points": 2}.items()}  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone.to_dict(), text_config=text, d_model=64, num_queries=6, max_text_len=64, **layers
    )
    size = {"shortest_edge": 64, "longest_edge": 96}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), tokenizer)
    return _save(GroundingDinoForObjectDetection, config, processor, folder / "grounding-dino")


def write_sam(folder: Path) -> str:
    config: SamConfig = small_configs()["sam"][0]
    config.vision_config.num_pos_feats = 8  # half of the prompt encoder's width
    processor = SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}))
    return _save(SamModel, config, processor, folder / "sam")


def write_sam3(folder: Path) -> str:
    tokenizer = _tokenizer("clip", folder)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    small = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_layers": 1}
    config = Sam3Config(
        vision_config=small_configs()["sam3"][0].vision_config.to_dict(),
        text_config={**VIT, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 32, "projection_dim": 16},
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 5},
        geometry_encoder_config=small,
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2, "num_upsampling_stages": 3},
    )
    processor = Sam3Processor(Sam3ImageProcessor(size={"height": 112, "width": 112}), tokenizer)
    return _save(Sam3Model, config, processor, folder / "sam3")


def write_mask2former(folder: Path, labels: Sequence[str]) -> str:
    backbone = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone.to_dict(),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=24, dim_feedforward=24,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=8,
        id2label=dict(enumerate(labels)), label2id={label: number for number, label in enumerate(labels)},
    )  # fmt: skip
    size = {"shortest_edge": 64, "longest_edge": 96}
    processor = Mask2FormerImageProcessor(size=size, size_divisor=32)
    return _save(Mask2FormerForUniversalSegmentation, config, processor, folder / "mask2former")


def write_eomt(folder: Path, labels: Sequence[str]) -> str:
    config = EomtConfig(
        **{key: VIT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
        image_size=64, patch_size=16, num_upscale_blocks=2, num_blocks=1, num_queries=8,
        id2label=dict(enumerate(labels)), label2id={label: number for number, label in enumerate(labels)},
    )  # fmt: skip
    size = {"shortest_edge": 64, "longest_edge": 64}
    processor = EomtImageProcessor(size=size, do_pad=True, do_split_image=False)
    return _save(EomtForUniversalSegmentation, config, processor, folder / "eomt")


def _tokenizer(family: str, folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(write_text_model(family, folder / "text"))


def _save(architecture: type, config: object, processor: object, folder: Path) -> str:
    torch.manual_seed(0)
    architecture(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
