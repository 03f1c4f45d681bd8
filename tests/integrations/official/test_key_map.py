"""The published key tables, name by name: everything has a place, and every place gets its tensor."""

import json

import pytest
import torch

from find.errors import FindError
from find.foundations.focal import Flavour, FocalNet
from find.integrations.official.key_map import Part, destination
from find.integrations.official.published import Published, Unwritten
from find.model.building import build_interface

LLAMA_WIDTH = 4096
MODELS = {"focalt": (Flavour.DEPTHWISE, 96, (2, 2, 6, 2), 3), "focall": (Flavour.PLAIN, 192, (2, 2, 18, 2), 4)}


def _table(folder, name):
    return json.loads((folder / f"keys_{name}_llama.json").read_text())


def _meta_state(table):
    return {key: torch.empty(shape, device="meta") for key, (shape, _) in table.items()}


def _empty_model(published):
    config = published.config(vision="", language="", language_dtype="float16", unwritten=Unwritten())
    focal = published.focal_config()
    with torch.device("meta"):
        net = FocalNet(focal)
        interface = build_interface(config, channels=focal.channels, text_width=LLAMA_WIDTH, pooled_width=None)
    return focal, config, net, interface


@pytest.mark.parametrize("name", MODELS)
def test_published_table_converts_with_nothing_unused_and_nothing_missing(reference_folder, name):
    table = _table(reference_folder, name)
    published = Published.sort(_meta_state(table), source=name)
    focal, config, net, interface = _empty_model(published)
    published.check(published.backbone, net.state_dict())
    published.check(published.interface, interface.state_dict(), computed=frozenset({"background"}))
    placed = len(published.interface) + len(published.backbone) + len(published.left_out)
    assert placed == len(table)
    assert set(published.left_out) == {"criterion.empty_weight", "dilation_kernel"}
    flavour, width, depths, levels = MODELS[name]
    assert (focal.flavour, focal.width, focal.depths, focal.levels) == (flavour, width, depths, (levels,) * 4)
    assert (config.interface.width, config.interface.layers, config.interface.queries) == (512, 9, 101)
    assert config.conventions.memories == 32


@pytest.mark.parametrize("name", MODELS)
def test_two_names_never_meet_in_one_place(reference_folder, name):
    places = [destination(key) for key in _table(reference_folder, name)]
    kept = [(place.part, place.name) for place in places if place.part is not Part.LEFT_OUT]
    assert len(set(kept)) == len(kept)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("sem_seg_head.predictor.lang_encoder.lang_proj", (4096, 256)),
        ("sem_seg_head.predictor.query_feat.weight", (101, 256)),
        ("backbone.layers.1.blocks.0.mlp.fc1.weight", (7, 192)),
    ],
)
def test_wrong_shape_is_told_with_key_and_both_shapes(reference_folder, key, shape):
    table = _table(reference_folder, "focalt")
    wanted = tuple(table[key][0])
    state = _meta_state(table) | {key: torch.empty(shape, device="meta")}
    published = Published.sort(state, source="bad.pt")
    _, _, net, interface = _empty_model(published)
    with pytest.raises(FindError) as error:
        published.check(published.backbone, net.state_dict())
        published.check(published.interface, interface.state_dict(), computed=frozenset({"background"}))
    for part in ("bad.pt", key, str(shape), str(wanted)):
        assert part in str(error.value)


def test_missing_tensor_is_told(reference_folder):
    state = _meta_state(_table(reference_folder, "focalt"))
    del state["sem_seg_head.predictor.pn_indicator.weight"]
    published = Published.sort(state, source="bad.pt")
    _, _, _, interface = _empty_model(published)
    with pytest.raises(FindError, match=r"bad\.pt.*nothing becomes sampler\.sign"):
        published.check(published.interface, interface.state_dict(), computed=frozenset({"background"}))


@pytest.mark.parametrize(
    "key",
    [
        "sem_seg_head.predictor.self_attn.layers.0.norm.weight",  # SEEM, X-Decoder
        "sem_seg_head.predictor.lang_encoder.lang_encoder.resblocks.0.attn.in_proj_weight",
        "sem_seg_head.predictor.transformer_self_attention_layers.0.norm.bias",  # Mask2Former
        "backbone.layers.0.blocks.0.modulation.ln.weight",
        "query_feat.weight",
    ],
)
def test_names_of_other_models_have_no_place(key):
    assert destination(key) is None
