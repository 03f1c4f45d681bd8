"""Converting a published file: what comes out works as it is, and what is not one is refused with nothing left."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from find.cli.main import main
from find.errors import FindError
from find.integrations.official.convert import convert, read_state
from find.model.model import FIND
from find.query.query import Phrase, Query, Region

TINY = ["--heads", "4", "--region-points", "64", "--feature-layer", "-3"]


@pytest.fixture(scope="session")
def tiny(reference):
    return reference.tiny


def _convert(checkpoint, out, llama):
    return main(["convert", "official", str(checkpoint), str(out), "--llama", str(llama), *TINY])


@pytest.fixture(scope="session")
def converted(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "model"
    assert _convert(tiny / "model_state_dict.pt", out, tiny / "llama") == 0
    return out


def _refused(tiny, capsys, tmp_path, checkpoint, *, llama=None):
    out = tmp_path / "out"
    status = _convert(checkpoint, out, llama or tiny / "llama")
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert status == 2
    assert len(errors) == 1
    assert not out.exists()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".out")]
    return errors[0]


def test_converted_folder_is_a_model_like_any_other(converted, tmp_path):
    model = FIND.from_pretrained(converted)
    picture = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    query = Query("a ", Phrase("brown dog"), " beside ", Region(picture, box=(10, 10, 40, 50)))
    masks = model.segment([picture], [query])[0]
    assert [mask.mask.shape for mask in masks] == [(70, 90)] * 2
    assert model.panoptic([picture], ["dog", "grass"], [True, False])[0].segment_map.shape == (70, 90)
    model.save_pretrained(tmp_path / "again")
    again = FIND.from_pretrained(tmp_path / "again")
    assert torch.equal(model.embed_images([picture]).image, again.embed_images([picture]).image)


def test_what_is_saved_again_needs_the_first_folder_no_more(converted, tmp_path):
    first = shutil.copytree(converted, tmp_path / "first")
    fingerprint = FIND.from_pretrained(first).fingerprint
    FIND.from_pretrained(first).save_pretrained(tmp_path / "again")
    FIND.from_pretrained(tmp_path / "again").save_pretrained(tmp_path / "again")  # into its own folder
    shutil.rmtree(first)
    assert str(tmp_path) not in (tmp_path / "again" / "config.json").read_text()
    assert FIND.from_pretrained(tmp_path / "again").fingerprint == fingerprint


def test_converted_folder_may_be_moved(converted, tmp_path):
    moved = shutil.copytree(converted, tmp_path / "elsewhere")
    assert FIND.from_pretrained(moved).fingerprint == FIND.from_pretrained(converted).fingerprint


def test_class_bank_is_kept_and_equals_what_is_computed(converted):
    model = FIND.from_pretrained(converted)
    names = ["dog", "sky", "wall brick", "wall-brick"]
    kept = model.embed_classes(names)
    assert len(model.known_classes) >= 133
    model.known_classes = {}
    computed = model.embed_classes(["dog", "sky", "wall-brick", "wall-brick"])
    torch.testing.assert_close(kept, computed, rtol=1e-5, atol=1e-5)


def test_report_names_every_tensor_that_is_left_out(tiny, tmp_path, capsys):
    assert _convert(tiny / "model_state_dict.pt", tmp_path / "out", tiny / "llama") == 0
    report = capsys.readouterr().out
    state = read_state(tiny / "model_state_dict.pt")
    counts = json.loads("[" + ", ".join(word for word in report.split("\n")[0].split() if word.isdigit()) + "]")
    named = [key for key in state if f"left out: {key}: " in report]
    assert sum(counts) + len(named) == len(state)


def test_llama_inside_the_checkpoint_serves_where_the_folder_has_no_weights(tiny, converted, tmp_path):
    bare = tmp_path / "llama"
    shutil.copytree(tiny / "llama", bare, ignore=shutil.ignore_patterns("*.safetensors"))
    assert _convert(tiny / "model_state_dict.pt", tmp_path / "out", bare) == 0
    shutil.rmtree(bare)
    inside, by_reference = FIND.from_pretrained(tmp_path / "out"), FIND.from_pretrained(converted)
    texts = ["a brown dog", "two people ride bicycles"]
    assert torch.equal(inside.embed_texts(texts), by_reference.embed_texts(texts))


def test_checkpoint_without_llama_inside_is_read_too(tiny, converted, tmp_path):
    state = read_state(tiny / "model_state_dict.pt")
    state = {key: value for key, value in state.items() if ".lang_encoder.lang_encoder." not in key}
    torch.save(state, tmp_path / "slim.pt")
    assert _convert(tmp_path / "slim.pt", tmp_path / "out", tiny / "llama") == 0
    assert FIND.from_pretrained(tmp_path / "out").fingerprint == FIND.from_pretrained(converted).fingerprint


def test_other_models_checkpoint_is_refused(tiny, tmp_path, capsys):
    state = read_state(tiny / "model_state_dict.pt")
    state["sem_seg_head.predictor.lang_encoder.lang_encoder.resblocks.0.ln_1.weight"] = torch.zeros(8)
    torch.save(state, tmp_path / "seem.pt")
    error = _refused(tiny, capsys, tmp_path, tmp_path / "seem.pt")
    assert "seem.pt is not a published FIND checkpoint" in error
    assert "resblocks.0.ln_1.weight" in error


def test_truncated_file_is_refused(tiny, tmp_path, capsys):
    whole = (tiny / "model_state_dict.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    assert "cut.pt is broken or truncated" in _refused(tiny, capsys, tmp_path, tmp_path / "cut.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    assert "empty.pt is broken or truncated" in _refused(tiny, capsys, tmp_path, tmp_path / "empty.pt")


@pytest.mark.parametrize("content", [b"hello\n", b"<!doctype html>\n", b"\xff\xd8\xff\xe0", bytes(range(40, 90))])
def test_a_file_that_is_no_checkpoint_is_refused(tiny, tmp_path, capsys, content):
    (tmp_path / "page.pt").write_bytes(content)
    assert "page.pt" in _refused(tiny, capsys, tmp_path, tmp_path / "page.pt")


class _Code:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_never_runs(tiny, tmp_path, capsys, save):
    trace = tmp_path / "trace"
    save({"weight": _Code(trace)}, tmp_path / "code.pt")
    error = _refused(tiny, capsys, tmp_path, tmp_path / "code.pt")
    assert "code.pt holds more than tensors" in error
    assert not trace.exists()


def test_missing_files_are_told(tiny, tmp_path, capsys):
    assert "no checkpoint" in _refused(tiny, capsys, tmp_path, tmp_path / "nothing.pt")
    error = _refused(tiny, capsys, tmp_path, tiny / "model_state_dict.pt", llama=tmp_path / "no-llama")
    assert "there is no folder" in error
    assert "no-llama" in error


@pytest.mark.parametrize("llama", [[], ["--llama", "nobody/llama"]])
def test_a_missing_checkpoint_is_told_before_llama_is_looked_for(tmp_path, capsys, llama):
    assert main(["convert", "official", str(tmp_path / "nope.pt"), str(tmp_path / "out"), *llama]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is no checkpoint {tmp_path / 'nope.pt'}; ") and "llama" not in error


def test_hyperparameters_of_a_published_name_are_not_asked_for(tmp_path, capsys):
    arguments = ["convert", "official", "official/find-focalt-llama", str(tmp_path / "out"), "--heads", "4"]
    assert main(arguments) == 2
    assert "has known hyperparameters; leave out --heads" in capsys.readouterr().err


def test_wrong_shape_leaves_nothing(tiny, tmp_path, capsys):
    state = read_state(tiny / "model_state_dict.pt")
    state["sem_seg_head.predictor.class_embed"] = torch.zeros(64, 32)
    torch.save(state, tmp_path / "odd.pt")
    error = _refused(tiny, capsys, tmp_path, tmp_path / "odd.pt")
    for part in ("odd.pt", "sem_seg_head.predictor.class_embed", "(64, 32)", "(64, 64)"):
        assert part in error


def test_training_state_is_refused_by_name(tiny, tmp_path, capsys):
    torch.save({"module": {"module.x": torch.zeros(1)}, "optimizer": {}}, tmp_path / "resume.pt")
    assert "training state" in _refused(tiny, capsys, tmp_path, tmp_path / "resume.pt")


def test_nothing_is_written_over(tiny, converted):
    before = sorted(converted.rglob("*"))
    with pytest.raises(FindError, match="exists already"):
        convert(tiny / "model_state_dict.pt", converted, llama=str(tiny / "llama"))
    assert sorted(converted.rglob("*")) == before
