"""Small configs of transformers' image encoders: the real classes, at widths that a test can pay for."""

from __future__ import annotations

from transformers import (
    CLIPConfig,
    ConvNextConfig,
    ConvNextV2Config,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ConvNextConfig,
    DINOv3ViTConfig,
    FocalNetConfig,
    PreTrainedConfig,
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2VisionConfig,
    Sam3Config,
    Sam3VisionConfig,
    Sam3ViTConfig,
    SamConfig,
    Siglip2Config,
    SiglipConfig,
    SwinConfig,
    Swinv2Config,
)

VIT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
WINDOWS = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
TEXT = {**VIT, "vocab_size": 50, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
PYRAMID = (4, 8, 16, 32)


def small_configs() -> dict[str, tuple[PreTrainedConfig, tuple[float, ...], int]]:
    """By name: a config, the strides of its maps and the divisor of its images' sides."""
    dino = {key: VIT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    vision = {**VIT, "image_size": 32, "patch_size": 8}
    hiera = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 2, 4],
        window_size_per_stage=[8, 4, 8, 4],
        window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[4],
        image_size=[64, 64],
    )
    sam2 = Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=16)
    eva = Sam3ViTConfig(
        **VIT, image_size=112, patch_size=14, window_size=4, global_attn_indexes=[1], pretrain_image_size=56
    )
    sam3 = Sam3VisionConfig(backbone_config=eva, fpn_hidden_size=16)
    return {
        "swin": (SwinConfig(**WINDOWS), PYRAMID, 32),
        "swinv2": (Swinv2Config(**WINDOWS), PYRAMID, 32),
        "convnext": (ConvNextConfig(**STAGES), PYRAMID, 32),
        "convnextv2": (ConvNextV2Config(**STAGES), PYRAMID, 32),
        "focalnet": (FocalNetConfig(embed_dim=8, depths=[1, 1, 2, 1], hidden_sizes=[16, 32, 64, 64]), PYRAMID, 32),
        "dinov2": (Dinov2Config(**dino, image_size=56, patch_size=14), (14,), 14),
        "dinov2_with_registers": (Dinov2WithRegistersConfig(**dino, image_size=56, patch_size=14), (14,), 14),
        "dinov3_vit": (DINOv3ViTConfig(**VIT, num_register_tokens=4), (16,), 16),
        "dinov3_convnext": (DINOv3ConvNextConfig(**STAGES), PYRAMID, 32),
        "clip": (CLIPConfig(vision_config=vision, text_config=TEXT, projection_dim=24), (8,), 8),
        "siglip": (SiglipConfig(vision_config=vision, text_config={**TEXT, "projection_size": 32}), (8,), 8),
        "siglip2": (
            Siglip2Config(
                vision_config={**VIT, "patch_size": 8, "num_patches": 16},
                text_config={**TEXT, "projection_size": 32},
            ),
            (8,),
            8,
        ),
        "sam": (
            SamConfig(
                vision_config={
                    **{key: VIT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
                    "image_size": 64,
                    "patch_size": 16,
                    "window_size": 2,
                    "global_attn_indexes": [1],
                    "output_channels": 16,
                    "mlp_dim": 48,
                    "initializer_range": 0.02,  # by default too small to tell features apart
                },
                prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16},
                mask_decoder_config={
                    "hidden_size": 16,
                    "mlp_dim": 16,
                    "num_attention_heads": 2,
                    "iou_head_hidden_dim": 8,
                },
            ),
            (16,),
            16,
        ),
        "sam2": (Sam2Config(vision_config=sam2), PYRAMID, 32),
        "sam3": (
            Sam3Config(
                vision_config=sam3,
                text_config=TEXT,
                detr_encoder_config={"num_layers": 1},
                detr_decoder_config={"num_layers": 1},
                geometry_encoder_config={"num_layers": 1},
            ),
            (3.5, 7, 14, 28),
            28,
        ),
    }
