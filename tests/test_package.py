"""Claims about `import find` itself."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import find
from find import FIND, Album, Encoder, IndexSettings, Phrase, Region


def test_every_public_name_is_listed_and_loads():
    assert set(find.__all__) <= set(dir(find))
    assert all(getattr(find, name).__name__ == name for name in find.__all__)


def test_type_checkers_see_the_names_that_load():
    """What is imported for type checkers only, what is listed, and what loads on first use are the same."""
    tree = ast.parse(Path(find.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == find._HOME and sorted(seen) == sorted(find.__all__)


def test_names_load_nothing_before_they_are_used():
    code = "import sys, find; from find import Phrase; print(sorted({'torch', 'numpy', 'lancedb'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "torch" not in loaded and "lancedb" not in loaded


def test_what_public_functions_give_is_public(tmp_path):
    """Of our own classes that a user meets, by calling what there is."""
    model = FIND.from_pretrained("find-tiny")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_bytes(b"broken")
    album = Album.build(model, tmp_path / "photos", tmp_path / "album", settings=IndexSettings(), progress=False)
    (hit,) = album.search("{a dog} left of {a cat}")
    panoptic = model.panoptic(image, ["dog"])
    met = [model, model.config, model.config.interface, model.encode_images(image), model.embed_images(image)]
    met += [model.segment(image, "{a dog}")[0], panoptic, *panoptic.segments, model.instances(image, ["dog"])]
    met += [model.embed_queries("{a dog}"), album, album.report, *album.skipped, hit, *hit.parts, *hit.fits, hit.found]
    met += [Encoder(model), Phrase("a dog") & Region(image, box=(1, 1, 9, 9)), model.vision, model.language]
    ours = {type(one) for one in met if type(one).__module__.startswith("find.")}
    public = {getattr(find, name) for name in find.__all__}
    hidden = {kind.__name__ for kind in ours - public}
    assert hidden == {"TinyVision", "OpenClipLanguage"}  # which are `VisionEncoder` and `LanguageEncoder`
    assert len(ours) > 15
