"""`random:` is an architecture without weights: none are fetched, and what needs the hub says so at the first try."""

import socket

import pytest

from find.errors import FindError
from find.foundations import fingerprint, load_language, load_vision, source


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Connections fail at once; gives the addresses that were asked for."""
    asked = []

    def refuse(address, *_, **__):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(source, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", refuse)
    source.hub_answers.cache_clear()
    yield asked
    source.hub_answers.cache_clear()


def test_an_untrained_open_clip_model_asks_for_no_weights_whichever_are_named(no_network):
    named, plain = (load_vision(f"random:open_clip:RN50{weights}") for weights in ("/openai", ""))
    assert fingerprint(named) == fingerprint(plain)
    assert no_network == []


@pytest.mark.parametrize("load", [load_vision, load_language])
@pytest.mark.parametrize("name", ["transformers:owner/model", "open_clip:hf-hub:owner/model"])
def test_what_only_the_hub_describes_is_told_at_the_first_try(no_network, load, name):
    with pytest.raises(FindError, match=r"hub cannot be reached.* or give the path of a folder.* random:timm:NAME"):
        load(f"random:{name}")
    assert len(no_network) <= 2  # not again and again
