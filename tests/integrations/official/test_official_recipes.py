"""The recipes that go on training published models fit them, and the table of files fits the published tensors."""

import json
import math

import pytest
import torch
import yaml
from published_form import random_state

from find.foundations.focal import Flavour, FocalConfig
from find.integrations.official.published import Published, Unwritten
from find.integrations.official.releases import LLAMA, RELEASES
from find.model.config import FINDConfig
from find.model.pretrained import as_wanted
from find.training.configs import find_config

BACKBONES = {
    "focalt": FocalConfig(Flavour.DEPTHWISE, width=96, depths=(2, 2, 6, 2), levels=(3, 3, 3, 3)),
    "focall": FocalConfig(Flavour.PLAIN, width=192, depths=(2, 2, 18, 2), levels=(4, 4, 4, 4)),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_recipe_takes_what_its_model_is_converted_to(name, tmp_path):
    recipe = yaml.safe_load(find_config(f"official/find_{name}_llama").read_text())["model"]
    wanted = FINDConfig.from_dict(recipe["config"], source=name)
    with torch.device("meta"):
        state = random_state(BACKBONES[name], sizes=wanted.interface, llama_width=4096)
    commit = "0" * 40
    own = Published.sort(state, source=name).config(
        vision="focal:{folder}/backbone",
        language=f"llama:{LLAMA}@{commit}#{Unwritten().block(32)}",
        language_dtype="float16",
        unwritten=Unwritten(),
    )
    assert as_wanted(wanted, own, tmp_path).language == own.language
    assert recipe["weights"] == f"official/find-{name}-llama"
    assert f"find-{name}-llama" in RELEASES


@pytest.mark.parametrize("name", BACKBONES)
def test_sizes_are_those_of_the_published_tensors_without_llama(reference_folder, name):
    """A zip entry and a pickled name take some hundred bytes a tensor."""
    table = json.loads((reference_folder / f"keys_{name}_llama.json").read_text())
    assert {dtype for _, dtype in table.values()} == {"float32"}
    tensors = 4 * sum(math.prod(shape) for shape, _ in table.values())
    assert 200 < (RELEASES[f"find-{name}-llama"].size - tensors) / len(table) < 600
