"""An exported model answers as the model does, whatever the sizes; and a folder that is not whole is refused."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from find.cli.main import main
from find.errors import CheckpointError, FindError
from find.integrations.export.graphs import graphs
from find.integrations.export.manifest import MANIFEST
from find.integrations.export.quantizing import quantize
from find.integrations.export.running import OnnxModel
from find.integrations.export.writing import Format, write_model
from find.query.query import Query
from find.tasks.structured_interaction import QueryBatch, terms

pytestmark = pytest.mark.slow  # the exporters take about two minutes for the small model
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize("chosen", [[0], [1, 1, 1], [0, 1, 2, 3]], ids=["one", "three", "of many sizes"])
def test_images_are_embedded_as_by_the_model(model, exported, images, chosen):
    pictures = [images[number] for number in chosen]
    own, found = model.embed_images(pictures), exported.embed_images(pictures)
    for name in ("image", "objects", "scores", "boxes"):
        torch.testing.assert_close(getattr(found, name), getattr(own, name), **CLOSE)
    for a, b in zip(found.masks, own.masks, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)  # kept in half precision


@pytest.mark.parametrize("chosen", [[0], [1, 1, 1], [3], [0, 1, 2, 3]], ids=["one", "three", "six entities", "mixed"])
def test_queries_are_embedded_as_by_the_model(model, exported, queries, chosen):
    asked = [queries[number] for number in chosen]
    own, found = model.embed_queries(asked), exported.embed_queries(asked)
    torch.testing.assert_close(found.query, own.query, **CLOSE)
    torch.testing.assert_close(found.entities, own.entities, **CLOSE)
    torch.testing.assert_close(found.connections.said, own.connections.said, **CLOSE)
    assert torch.equal(found.padding, own.padding)


def test_a_sentence_without_entities_is_embedded(model, exported):
    own, found = (
        model.embed_queries([Query("a dog in the grass")]),
        exported.embed_queries([Query("a dog in the grass")]),
    )
    torch.testing.assert_close(found.query, own.query, **CLOSE)
    assert found.entities.shape == own.entities.shape
    assert found.connections.said.shape == own.connections.said.shape


def test_entities_get_the_masks_that_the_model_gives_them(model, exported, images, queries):
    own, found = model.segment(images, queries), exported.segment(images, queries)
    for a, b in zip(found, own, strict=True):
        assert [mask.score for mask in a] == pytest.approx([mask.score for mask in b], abs=1e-4)
        assert all(np.mean(x.mask != y.mask) < 1e-3 for x, y in zip(a, b, strict=True))


@torch.inference_mode()
def test_the_score_graph_ranks_as_search_does(model, exported, images, queries):
    shown, asked = model.embed_images(images), model.embed_queries(queries)
    there = torch.ones(shown.objects.shape[:2], dtype=torch.bool)
    assert asked.padding.shape[1] == 6  # the last query has as many as the graph takes
    own = asked.connections.images(shown.image[None], shown.objects[None], shown.boxes[None], there[None])
    for k in range(len(queries)):
        said = asked.connections.said[k : k + 1]
        one = QueryBatch(
            asked.query[None, k : k + 1], asked.entities[None, k : k + 1], asked.padding[None, k : k + 1], said[None]
        )
        expected, objects = terms(own, one, asked.connections.weights).score()
        found = exported._graph("score")(
            {
                "image": shown.image,
                "objects": shown.objects,
                "boxes": shown.boxes,
                "there": there,
                "sentence": asked.query[k : k + 1],
                "entities": asked.entities[k : k + 1],
                "said": said,
                "entity_padding": asked.padding[k : k + 1],
            }
        )
        torch.testing.assert_close(found["score"], expected[0, 0], **CLOSE)
        assert torch.equal(found["chosen"], objects[0, 0])


def test_an_album_may_be_made_by_one_and_searched_by_the_other(model, folder, images, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(photos / f"{number}.png")
    album = tmp_path / "photos.album"
    assert main(["index", str(photos), str(album), "--engine", "onnx", "--weights", str(folder)]) == 0
    search = ["search", str(album), "{a red dog} left of {the tree}", "--dim", "16", "--json", "-"]
    found = []
    for engine, weights in (("torch", tmp_path / "model"), ("onnx", folder)):
        capsys.readouterr()
        assert main([*search, "--engine", engine, "--weights", str(weights)]) == 0
        found.append([(hit["path"], hit["score"]) for hit in json.loads(capsys.readouterr().out)["hits"]])
    assert [path for path, _ in found[0]] == [path for path, _ in found[1]]
    assert [score for _, score in found[0]] == pytest.approx([score for _, score in found[1]], abs=1e-4)


def test_an_album_of_compressed_vectors_is_made_and_searched_by_an_export(folder, images, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"photos/{number}.png")
    album, engine = str(tmp_path / "my.album"), ["--engine", "onnx", "--weights", str(folder)]
    assert main(["index", str(tmp_path / "photos"), album, "--vector-type", "int8", *engine]) == 0
    assert main(["search", album, "{a red dog} left of {the tree}", "-k", "3", *engine]) == 0
    assert capsys.readouterr().out.count(".png") == 3


def test_programs_of_torch_export_give_the_same(model, tmp_path, images):
    out = tmp_path / "programs"
    assert list(write_model(model, out, form=Format.TORCH)) == [
        f"{graph.name}.pt2" for graph in graphs(model, entities=6)
    ]
    program = torch.export.load(out / "image.pt2").module()
    pictures = torch.stack([model.resizing.fit(64, 64).place(images[2])] * 3)
    own, found = model.embed_images([images[2]]), program(pictures, torch.ones(3, 2))
    torch.testing.assert_close(found["objects"][2], own.objects[0], **CLOSE)


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_an_image_graph_in_int8_is_near_the_original(how, model, folder, images, tmp_path):
    out = tmp_path / "int8"
    shutil.copytree(folder, out)
    quantize(out, photos=None if how == "dynamic" else [Image.fromarray(image) for image in images])
    quantized = OnnxModel(out, threads=1)
    assert how in quantized.manifest.quantized and how in (out / "README.md").read_text()
    own, found = model.embed_images(images), quantized.embed_images(images)
    assert (found.image * own.image).sum(dim=-1).min() > 0.95
    with pytest.raises(FindError, match="already"):
        quantize(out)


def test_the_readmes_python_runs_as_it_stands(folder, images, tmp_path):
    text = (folder / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    shutil.copytree(folder, tmp_path / "folder")
    Image.fromarray(images[3]).save(tmp_path / "folder" / "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path / "folder", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, 24) (1, 6, 24)")


def test_the_readme_tells_every_input_with_its_sizes(folder):
    text = (folder / "README.md").read_text()
    assert "| in | `pictures` | uint8 | batch x 3 x 32*rows x 32*columns |" in text
    assert "| in | `connection_ids` | int64 | queries x entities + 1 x * |" in text
    assert "| out | `objects` | float32 | batch x 6 x 24 |" in text


@pytest.mark.parametrize("name", ["tokenizer.json", "query.onnx", "pair_term.safetensors", MANIFEST])
def test_a_folder_that_lacks_a_file_is_refused_in_one_line(name, folder, tmp_path, capsys):
    out = tmp_path / "incomplete"
    shutil.copytree(folder, out)
    (out / name).unlink()
    (tmp_path / "photos").mkdir()
    for command in (["index", str(tmp_path / "photos")], ["search"]):
        query = ["--query", "{a dog}"] if command == ["search"] else []
        assert main([*command, str(tmp_path / "a.album"), *query, "--engine", "onnx", "--weights", str(out)]) != 0
        reported = capsys.readouterr().err
        assert name in reported and reported.count("\n") == 1


def test_an_export_of_another_format_or_with_damaged_files_is_refused(folder, tmp_path):
    out = tmp_path / "other"
    shutil.copytree(folder, out)
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(CheckpointError, match=r"format 2, but this version reads format 1"):
        OnnxModel(out)
    (out / MANIFEST).write_text(json.dumps(manifest | {"entities": "six"}))
    with pytest.raises(CheckpointError, match=r"is damaged .*entities"):
        OnnxModel(out)
    (out / MANIFEST).write_text(json.dumps(manifest))
    (out / "image.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"image\.onnx is damaged"):
        OnnxModel(out).embed_images([np.zeros((64, 64, 3), np.uint8)])
    (out / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged"):
        OnnxModel(out)


def test_an_album_of_other_weights_is_refused(folder, images, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(images[0]).save(photos / "a.png")
    album = str(tmp_path / "photos.album")
    assert main(["index", str(photos), album, "--weights", "find-tiny"]) == 0
    for command in (["index", str(photos), album], ["search", album, "{a dog}"]):
        capsys.readouterr()
        assert main([*command, "--engine", "onnx", "--weights", str(folder)]) != 0
        reported = capsys.readouterr().err
        assert "other weights" in reported and reported.count("\n") == 1


def test_too_many_entities_are_told(exported, images):
    query = Query.parse(" ".join(f"{{a dog}} {k}" for k in range(7)))
    with pytest.raises(FindError, match="a query has 7 entities, but this export takes 6"):
        exported.segment([images[0]], [query])


def test_a_folder_is_never_written_over(model, folder):
    with pytest.raises(FindError, match="exists already"):
        list(write_model(model, folder))
