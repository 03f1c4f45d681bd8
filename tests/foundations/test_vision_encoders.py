"""Every adapter of a vision encoder: real classes at small width keep what the protocol promises."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from transformers import AutoModel, CLIPModel, Sam3Model, SiglipModel
from vision_models import small_configs

from find.errors import FindError
from find.foundations import VisionEncoder, fingerprint, load_vision
from find.foundations.source import Source
from find.foundations.tiny import FOLDER
from find.foundations.transformers_vision import pixel_statistics

CONFIGS = small_configs()
PYRAMID = (4, 8, 16, 32)
TIMM = {
    "test_convnext": (PYRAMID, 32),
    "test_resnet": (PYRAMID, 32),
    "test_efficientnet": (PYRAMID, 32),
    "test_vit": ((16,), 16),
    "eva02_tiny_patch14_224": ((14,), 14),
    "swin_tiny_patch4_window7_224": (PYRAMID, 32),
}
OPEN_CLIP = {
    "vit": ({"layers": 2, "width": 64, "head_width": 32, "patch_size": 16}, (16,), 16),
    "convnext": ({"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"}, PYRAMID, 32),
    "siglip": ({"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}, (16,), 16),
}
ENCODERS = [
    *(f"transformers:{name}" for name in CONFIGS),
    *(f"timm:{name}" for name in TIMM),
    *(f"open_clip:{name}" for name in OPEN_CLIP),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """A folder with a config for each model of transformers and open_clip."""
    root = tmp_path_factory.mktemp("vision")
    for name, (config, _, _) in CONFIGS.items():
        config.save_pretrained(root / "transformers" / name)
    shipped = json.loads((FOLDER / "open_clip_config.json").read_text(encoding="utf-8"))
    for name, (tower, _, _) in OPEN_CLIP.items():
        folder = root / "open_clip" / name
        folder.mkdir(parents=True)
        shipped["model_cfg"]["vision_cfg"] = {"image_size": 160, **tower}
        (folder / "open_clip_config.json").write_text(json.dumps(shipped), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def spec_of(folders):
    def spec(encoder: str) -> str:
        library, name = encoder.split(":")
        place = {"transformers": folders / library / name, "timm": name}
        return f"random:{library}:{place.get(library, f'local-dir:{folders / library / name}')}"

    return spec


def declared(encoder: str) -> tuple[tuple[float, ...], int]:
    library, name = encoder.split(":")
    return TIMM[name] if library == "timm" else (CONFIGS if library == "transformers" else OPEN_CLIP)[name][1:]


def random_images(divisor: int, rows: int = 3, columns: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, 3, rows * divisor, columns * divisor)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_keeps_its_promises(encoder, spec_of):
    """Strides and channels as declared at any size, a batch of two as two of one, no gradient, always in eval mode."""
    vision = load_vision(spec_of(encoder))
    strides, divisor = declared(encoder)
    assert isinstance(vision, VisionEncoder)
    assert (vision.strides, vision.divisor) == (strides, divisor)
    assert vision.spec == spec_of(encoder)

    images = random_images(divisor)
    before = fingerprint(vision)
    parent = torch.nn.ModuleList([vision]).train()
    together = vision(images)
    assert not any(module.training for module in vision.modules())
    for features_map, stride, channels in zip(together.maps, vision.strides, vision.channels, strict=True):
        assert features_map.shape == (2, channels, images.shape[2] / stride, images.shape[3] / stride)
        assert not features_map.requires_grad and features_map.isfinite().all()
    assert not any(parameter.requires_grad for parameter in parent.parameters())

    for i in range(2):
        alone = vision(images[i : i + 1])
        for one, both in zip(alone.maps, together.maps, strict=True):
            torch.testing.assert_close(both[i : i + 1], one, rtol=1e-3, atol=1e-4)
        if vision.pooled_dim is not None:
            assert alone.pooled.shape == (1, vision.pooled_dim)
            torch.testing.assert_close(together.pooled[i : i + 1], alone.pooled, rtol=1e-3, atol=1e-4)
    assert fingerprint(vision) == before  # BatchNorm's statistics among others
    with pytest.raises(FindError, match=f"multiples of {divisor}"):
        vision(images[..., 1:])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_low_precision_is_the_encoders_own(encoder, spec_of):
    """Weights and features in bfloat16, also where the caller computes in something else, and nearly the same."""
    full, half = (load_vision(spec_of(encoder), dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    images = random_images(full.divisor)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        exact, near = full(images), half(images)
    for a, b in zip(exact.maps, near.maps, strict=True):
        assert (a.dtype, b.dtype) == (torch.float32, torch.bfloat16)
        assert torch.cosine_similarity(a.flatten(1), b.float().flatten(1)).min() > 0.98


def test_a_trained_clip_gives_its_own_image_embeddings(tmp_path):
    """Out of a whole CLIP's folder, at its own size; and at another size as the library interpolates."""
    config, *_ = CONFIGS["clip"]
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    statistics = {
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        "image_processor_type": "CLIPImageProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(statistics))
    vision = load_vision(f"transformers:{tmp_path}")
    mean, std = (torch.tensor(statistics[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    for side in (32, 64):
        images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
        with torch.no_grad():
            wanted = model.get_image_features((images / 255 - mean) / std, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(vision(images).pooled, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["siglip", "siglip2", "sam", "sam2", "sam3"])
def test_a_tower_out_of_a_larger_model_gives_what_it_gives_inside(name, tmp_path):
    config, *_ = CONFIGS[name]
    torch.manual_seed(0)
    model = (Sam3Model(config) if name == "sam3" else AutoModel.from_config(config)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false, "do_rescale": false}')
    vision = load_vision(f"transformers:{tmp_path}")
    side = {"siglip": 32, "siglip2": 32, "sam": 64, "sam2": 64, "sam3": 112}[name]
    images = random_images(side, 1, 1).float()
    found = vision(images)
    with torch.no_grad():
        if name == "siglip":
            torch.testing.assert_close(found.pooled, model.get_image_features(images).pooler_output)
        elif name == "siglip2":
            processor = pytest.importorskip("transformers").Siglip2ImageProcessor(
                patch_size=8, max_num_patches=16, do_resize=False, do_rescale=False, do_normalize=False
            )
            inputs = processor(list(images), return_tensors="pt")
            torch.testing.assert_close(found.pooled, model.get_image_features(**inputs).pooler_output)
        elif name == "sam":
            torch.testing.assert_close(found.maps[0], model.vision_encoder(images).last_hidden_state)
        else:
            own = model.vision_encoder(images).fpn_hidden_states
            for a, b in zip(found.maps, own, strict=False):  # SAM2 itself uses the first three only
                torch.testing.assert_close(a, b)


def test_backbones_give_the_librarys_features(tmp_path):
    """A plain model of transformers, and one of timm: the last tokens after the final norm."""
    config, *_ = CONFIGS["dinov3_vit"]
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    images = random_images(16)
    vision = load_vision(f"transformers:{tmp_path}")
    pixels = images * vision.scale + vision.shift
    with torch.no_grad():
        tokens = model(pixels).last_hidden_state[:, 1 + config.num_register_tokens :]
    torch.testing.assert_close(vision(images).maps[0].flatten(2).mT, tokens, rtol=1e-4, atol=1e-4)

    plain = timm.create_model("test_vit", pretrained=False, dynamic_img_size=True).eval()
    vision = load_vision("random:timm:test_vit")
    plain.load_state_dict(vision.tower.state_dict(), strict=False)
    with torch.no_grad():
        tokens = plain.forward_features(images * vision.scale + vision.shift)[:, plain.num_prefix_tokens :]
    torch.testing.assert_close(vision(images).maps[0].flatten(2).mT, tokens, rtol=1e-4, atol=1e-4)


def test_a_timm_model_in_a_folder_brings_its_weights(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_convnext").eval()
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    vision = load_vision(f"timm:{tmp_path}")
    images = random_images(32)
    with torch.no_grad():
        wanted = model.forward_intermediates(images * vision.scale + vision.shift, intermediates_only=True)
    torch.testing.assert_close(vision(images).maps[-1], wanted[-1], rtol=1e-4, atol=1e-4)


def test_the_mean_of_a_convnexts_aligned_map_points_where_its_image_embedding_does(spec_of):
    """Its head normalises before pooling or after: for one constant picture both are the same vector."""
    vision = load_vision(spec_of("open_clip:convnext"))
    features = vision(torch.full((1, 3, 160, 160), 90, dtype=torch.uint8))
    assert features.aligned.shape == (1, vision.pooled_dim, 5, 5)
    centre = torch.cosine_similarity(features.aligned[:, :, 2, 2], features.pooled)
    assert centre.item() > 0.5


def test_an_open_clip_vit_keeps_its_embedding_at_its_own_size(folders):
    folder = folders / "open_clip" / "vit"
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    vision = load_vision(f"random:open_clip:local-dir:{folder}")
    model.visual.load_state_dict(vision.tower.state_dict())
    images = random_images(160, 1, 1)
    with torch.no_grad():
        wanted = model.encode_image(images * vision.scale + vision.shift)
    torch.testing.assert_close(vision(images).pooled, wanted, rtol=1e-4, atol=1e-4)


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone(spec_of):
    state = torch.get_rng_state()
    first, second = (load_vision(spec_of("transformers:convnext")) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert torch.equal(torch.get_rng_state(), state)


def test_untrained_weights_take_the_statistics_of_their_kind_of_model(folders):
    folder = folders / "transformers" / "siglip"
    source = Source.parse(str(folder), spec="random")
    assert pixel_statistics(source, CONFIGS["siglip"][0], untrained=True) == ([0.5] * 3, [0.5] * 3)


def test_trained_weights_without_statistics_are_refused(tmp_path):
    SiglipModel(CONFIGS["siglip"][0]).save_pretrained(tmp_path)
    with pytest.raises(FindError, match="how pixels are normalised"):
        load_vision(f"transformers:{tmp_path}")


def test_files_that_lack_weights_are_refused(tmp_path):
    config, *_ = CONFIGS["convnext"]
    AutoModel.from_config(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    config.depths = [1, 1, 3, 1]
    config.save_pretrained(tmp_path)
    config.depths = [1, 1, 2, 1]
    with pytest.raises(FindError, match="lack"):
        load_vision(f"transformers:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:convnext_smal", "no model 'convnext_smal'"),
        ("timm:convnext_small.imagenet22k", "fb_in22k"),
        ("transformers:facebook/dinov3-vitl16-pretrain-lvd1689m", "hf download facebook/dinov3-vitl16"),
        ("transformers:facebook/dinov3-vitl16-pretrain-lvd1689m@main", "hf download facebook/dinov3-vitl16"),
        ("timm:vit_tiny_patch16_224.augreg_in21k", "hf download"),
        ("open_clip:convnext_large_d_320", "laion2b_s29b_b131k_ft_soup"),
        ("open_clip:ViT-B-32/laion", "laion2b_s34b_b79k"),
        ("transformers:./nowhere", "no folder"),
        ("timm:", "unknown foundation"),
    ],
)
def test_what_cannot_be_had_is_told_with_what_to_do(spec, message, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FindError, match=message):
        load_vision(spec)
