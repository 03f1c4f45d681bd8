"""The synthetic world: its files agree with each other, and what its sentences say is true."""

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from find.errors import FindError
from find.world import Scene, contact_sheet, generate_world, scenes, vocabulary
from find.world.composition import _majority, compose
from find.world.drawing import Look, draw
from find.world.grammar import Claim, Description, Mention, Statement, Text, Wording, capitalised, word
from find.world.kinds import COLOURS, FLOOR, GRASS, HELD_OUT, ROAD, SAND, SKY, SNOW, THINGS, Pattern, Size
from find.world.language import Sentence
from find.world.relations import Link, relations
from find.world.scene import composition, scene

COLOUR = {colour.name: colour for colour in COLOURS}
THING = {thing.name: thing for thing in THINGS}
FIRST_VAL = 1 << 19


def read(root: Path, name: str) -> dict:
    return json.loads((root / "annotations" / f"{name}.json").read_text())


def digest(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "made"
    return generate_world(root, images=70, val_images=60, seed=3, size=160, workers=2, progress=False)


@pytest.fixture(scope="module")
def some_scenes() -> list[Scene]:
    return [*scenes(5, "train2017", 60), *scenes(5, "val2017", 60)]


def test_same_bytes_for_any_number_of_workers(world: Path, tmp_path: Path) -> None:
    again = generate_world(tmp_path / "again", images=70, val_images=60, seed=3, size=160, workers=1, progress=False)
    assert digest(world) == digest(again)


def test_an_image_does_not_depend_on_how_many_are_made(world: Path, tmp_path: Path) -> None:
    fewer = generate_world(tmp_path / "fewer", images=4, val_images=3, seed=3, size=160, workers=1, progress=False)
    for file in [*fewer.rglob("*.jpg"), *fewer.rglob("*.png")]:
        assert file.read_bytes() == (world / file.relative_to(fewer)).read_bytes()


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_a_composition_is_what_the_scene_shows(split: str) -> None:
    drawn, told = composition(5, split, 3), scene(5, split, 3)
    assert drawn.segments == told.segments
    assert np.array_equal(drawn.image, told.image) and np.array_equal(drawn.segment_map, told.segment_map)


def test_seeds_and_splits_differ() -> None:
    first = scene(0, "train2017", 0).image
    assert not np.array_equal(first, scene(1, "train2017", 0).image)
    assert not np.array_equal(first, scene(0, "val2017", 0).image)


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_masks_boxes_and_areas_agree(world: Path, split: str) -> None:
    panoptic = read(world, f"panoptic_{split}")
    sizes = {image["id"]: (image["height"], image["width"]) for image in panoptic["images"]}
    for annotation in panoptic["annotations"]:
        colours = np.asarray(Image.open(world / f"panoptic_{split}" / annotation["file_name"])).astype(int)
        ids = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
        assert ids.shape == sizes[annotation["image_id"]]
        assert {info["id"] for info in annotation["segments_info"]} == set(np.unique(ids))
        for info in annotation["segments_info"]:
            rows, columns = np.nonzero(ids == info["id"])
            x, y = columns.min(), rows.min()
            assert info["area"] == len(rows)
            assert info["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]


def test_pycocotools_reads_the_same_things(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = COCO(str(world / "annotations" / "instances_val2017.json"))
    infos = {i["id"]: i for a in read(world, "panoptic_val2017")["annotations"] for i in a["segments_info"]}
    things = {c["id"] for c in read(world, "panoptic_val2017")["categories"] if c["isthing"]}
    assert set(coco.anns) == {number for number, info in infos.items() if info["category_id"] in things}
    for number, annotation in coco.anns.items():
        assert coco.annToMask(annotation).sum() == infos[number]["area"]


def test_categories_are_named_and_numbered_as_in_coco(world: Path, shared: Path) -> None:
    official = json.loads((shared / "coco-sample/coco/annotations/panoptic_val2017.json").read_text())["categories"]
    known = {c["id"]: (c["name"], c["isthing"], c["supercategory"]) for c in official}
    ours = read(world, "panoptic_val2017")["categories"]
    assert all(known[c["id"]] == (c["name"], c["isthing"], c["supercategory"]) for c in ours)
    assert sum(c["isthing"] for c in ours) >= 24
    assert sum(not c["isthing"] for c in ours) >= 6


SENTENCE_FILES = [
    "entity_train2017",
    "entity_val2017",
    "entity_val2017_long",
    "hard_negatives_val2017",
    "probes_val2017",
]


@pytest.mark.parametrize("name", [*SENTENCE_FILES, "interleave_val2017", "interleave_val2017_long"])
def test_spans_marks_and_links(world: Path, name: str) -> None:
    split = "train2017" if "train" in name else "val2017"
    panoptic = read(world, f"panoptic_{split}")["annotations"]
    owner = {info["id"]: a["image_id"] for a in panoptic for info in a["segments_info"]}
    annotations = read(world, name)["annotations"]
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    for a in annotations:
        assert re.sub(r"\[\d+\]<([^>]*)>", r"\1", a["sentence_raw"]) == a["sentence"]
        for phrase in a["phrase"]:
            assert a["sentence"][phrase["start_idx"] : phrase["end_idx"]] == phrase["phrase"]
            assert owner[int(phrase["annotation_id"])] == a["image_id"]
            assert isinstance(phrase["annotation_id"], int if "long" in name else str)


def test_sentence_counts(world: Path) -> None:
    for name in ("entity_val2017", "entity_val2017_long"):
        content = read(world, name)
        assert [a["image_id"] for a in content["annotations"]] == [image["id"] for image in content["images"]]
    assert len(read(world, "captions_val2017")["annotations"]) == 5 * 60
    assert len(read(world, "entity_train2017")["annotations"]) >= 3 * 65


def looks(world: Path, split: str) -> dict[int, tuple[int, Look | None]]:
    """Image and look of every segment, made again without the files."""
    number, seed = (70, 3) if split == "train2017" else (60, 3)
    return {s.id: (made.image_id, s.look) for made in scenes(seed, split, number) for s in made.segments}


@pytest.mark.parametrize("name", ["entity_train2017", "entity_val2017", "entity_val2017_long", "interleave_val2017"])
def test_references_look_alike_and_lie_in_another_image(world: Path, name: str) -> None:
    known = looks(world, "train2017" if "train" in name else "val2017")
    count = 0
    for a in read(world, name)["annotations"]:
        for phrase in a["phrase"]:
            look = known[int(phrase["annotation_id"])][1]
            same = [k for k, (image, other) in known.items() if image != a["image_id"] and alike(look, other)]
            if "reference" not in phrase:
                assert not same or (look is None and not name.startswith("interleave"))
                continue
            count += 1
            image, other = known[phrase["reference"]["annotation_id"]]
            assert image == phrase["reference"]["image_id"] != a["image_id"]
            assert alike(look, other)
    assert count > 50


def alike(a: Look | None, b: Look | None) -> bool:
    return a is None or (b is not None and (a.thing, a.colour) == (b.thing, b.colour))


def test_held_out_pairs_are_never_trained_on(some_scenes: list[Scene]) -> None:
    assert 10 <= len(HELD_OUT) <= 12
    assert all(name in THING and colour in COLOUR for name, colour in HELD_OUT)
    train = [s for s in some_scenes if s.image_id < FIRST_VAL]
    val = [s for s in some_scenes if s.image_id > FIRST_VAL]
    assert not any(segment.is_held_out for made in train for segment in made.segments)
    share = np.mean([any(segment.is_held_out for segment in made.segments) for made in val])
    assert 0.1 < share < 0.4


def test_held_out_file_lists_what_is_affected(world: Path) -> None:
    held = json.loads((world / "held_out.json").read_text())
    known = looks(world, "val2017")
    pairs = {(pair["category"], pair["color"]) for pair in held["pairs"]}
    expected = {k for k, (_, look) in known.items() if look and (look.thing.name, look.colour.name) in pairs}
    assert expected == {k for ids in held["segments"]["val2017"].values() for k in ids}
    for a in read(world, "entity_val2017")["annotations"]:
        meant = {int(phrase["annotation_id"]) for phrase in a["phrase"]}
        assert (a["id"] in held["sentences"]["entity_val2017"]) == bool(meant & expected)


def fits(description: Description, look: Look | None, kind: object) -> bool:
    if look is None:
        return kind is description.kind
    reported = {"colour": look.colour, "size": look.size, "pattern": look.pattern}
    return kind is description.kind and all(getattr(description, n) in (None, value) for n, value in reported.items())


def readings(said: Sentence, made: Scene, claims_hold: dict[Link, np.ndarray]) -> list[tuple[int, ...]]:
    """Every assignment of segments to entities under which a sentence is true, by trying all of them."""
    options = [
        [k for k, s in enumerate(made.segments) if fits(entity, s.look, s.kind)] for entity in said.statement.entities
    ]
    return [
        chosen
        for chosen in itertools.product(*options)
        if len(set(chosen)) == len(chosen)
        and all(claims_hold[c.link][chosen[c.subject], chosen[c.object]] for c in said.statement.claims)
    ]


def geometry(made: Scene) -> tuple[dict[Link, np.ndarray], dict[Link, np.ndarray]]:
    import random

    """What surely and what possibly holds, from the scene's pixels drawn again without its words."""
    split = "train2017" if made.image_id < FIRST_VAL else "val2017"
    index = made.image_id - (1 if split == "train2017" else FIRST_VAL + 1)
    rng = random.Random(f"5/{split}/{index}/pixels")
    composed = compose(image_side=160, held_out=split == "val2017", image_id=made.image_id, rng=rng)
    found = relations(composed)
    return found.surely, found.possibly


def test_sentences_are_true_and_mean_one_thing_each(some_scenes: list[Scene]) -> None:
    for made in some_scenes:
        surely, possibly = geometry(made)
        for said in (*made.sentences, made.paragraph, *(e.sentence for e in made.expressions)):
            assert readings(said, made, possibly) == [said.segments]
            assert readings(said, made, surely) == [said.segments]
        for expression in made.expressions:
            assert expression.sentence.segments[0] == expression.segment


def test_hard_negatives_are_false_and_differ_in_one_thing(some_scenes: list[Scene]) -> None:
    count = 0
    for made in some_scenes:
        for negative in made.negatives:
            false, true = negative.sentence.statement, made.sentences[0].statement
            assert readings(negative.sentence, made, geometry(made)[1]) == []
            entities = [pair for pair in zip(false.entities, true.entities, strict=True) if pair[0] != pair[1]]
            claims = [pair for pair in zip(false.claims, true.claims, strict=True) if pair[0] != pair[1]]
            assert len(entities) + len(claims) == 1
            for ours, theirs in entities:
                names = ("kind", "colour", "size", "pattern")
                assert sum(getattr(ours, n) != getattr(theirs, n) for n in names) == 1
            assert negative.sentence.text.text != made.sentences[0].text.text
            count += 1
    assert count >= 2 * 60


def test_probes_are_false_and_made_of_the_true_sentences_own_units(some_scenes: list[Scene]) -> None:
    def words(text: str) -> list[str]:
        return sorted(word for word in re.findall("[a-z]+", text.lower()) if word not in ("a", "an"))

    kinds = Counter()
    for made in some_scenes:
        true = made.sentences[0]
        for probe in made.probes:
            false = probe.sentence
            assert readings(false, made, geometry(made)[1]) == []
            assert set(false.segments) == set(true.segments)
            if probe.change.what == "relation":
                assert false.statement.entities == true.statement.entities
            else:
                assert words(false.text.text) == words(true.text.text)
            kinds[probe.change.what] += 1
    assert min(kinds[what] for what in ("entities", "attributes", "relation")) >= 20


def test_relations_agree_with_the_masks(some_scenes: list[Scene]) -> None:
    """What words claim, measured again on the finished segment map."""
    checked = 0
    for made in some_scenes:
        ids, side = made.segment_map, made.segment_map.shape[0]
        for said in made.sentences:
            for claim in said.statement.claims:
                a, b = (made.segments[said.segments[k]] for k in (claim.subject, claim.object))
                (ay, ax), (by, bx) = (np.argwhere(ids == s.id).mean(0) for s in (a, b))
                if claim.link in (Link.LEFT_OF, Link.RIGHT_OF):
                    assert (ax < bx) == (claim.link is Link.LEFT_OF)
                elif claim.link in (Link.ABOVE, Link.BELOW):
                    assert (ay < by) == (claim.link is Link.ABOVE)
                elif claim.link is Link.NEXT_TO:
                    assert abs(ax - bx) < 0.6 * side and abs(ay - by) < 0.35 * side
                elif claim.link is Link.ON and b.kind is SKY:
                    assert ay < 0.6 * side
                elif claim.link is Link.ON and b.kind in (GRASS, ROAD, SAND, SNOW, FLOOR):
                    assert a.box[3] > b.box[1]  # its lowest visible row is below the ground's upper edge
                checked += 1
    assert checked > 200


def test_half_of_the_scenes_hold_two_of_a_kind(some_scenes: list[Scene]) -> None:
    def has_twins(made: Scene) -> bool:
        kinds = [s.kind.id for s in made.segments if s.look]
        return len(set(kinds)) < len(kinds)

    assert 0.4 < np.mean([has_twins(made) for made in some_scenes]) < 0.7
    assert all(3 <= sum(s.look is not None for s in made.segments) <= 6 for made in some_scenes)


def test_every_word_is_in_the_vocabulary(some_scenes: list[Scene]) -> None:
    known = set(vocabulary())
    for made in some_scenes:
        said = (*made.sentences, made.paragraph, *(e.sentence for e in made.expressions))
        texts = [s.text.text for s in said] + list(made.captions) + [n.sentence.text.text for n in made.negatives]
        assert set(re.findall(r"[a-z]+", " ".join(texts).lower())) <= known


@pytest.mark.parametrize("thing", THINGS, ids=lambda t: t.name)
def test_a_thing_shows_its_colour_and_small_is_smaller(thing) -> None:
    areas = {}
    for size in Size:
        sprite = draw(
            Look(thing, COLOUR["purple"], size, Pattern.PLAIN), image_side=160, flying=False, rng=random.Random(1)
        )
        shown = np.asarray(sprite.picture)[np.asarray(sprite.mask) > 0].astype(int)
        near = np.abs(shown - np.array(COLOUR["purple"].rgb)).max(1) < 40
        assert near.mean() > 0.12
        areas[size] = len(shown)
    assert areas[Size.LARGE] > 1.7 * areas[Size.SMALL]


def test_majority_of_four() -> None:
    blocks = {(1, 1, 2, 3): 1, (1, 2, 2, 3): 2, (1, 2, 3, 3): 3, (5, 1, 5, 1): 5, (4, 4, 4, 1): 4, (1, 2, 3, 4): 4}
    for block, expected in blocks.items():
        for order in itertools.permutations(block):
            assert _majority(np.array(order, dtype=np.uint8).reshape(2, 2)) == expected


def test_wording_of_a_known_statement() -> None:
    dog = Description(THING["dog"], COLOUR["orange"], Size.SMALL, Pattern.STRIPED)
    person = Description(THING["person"], COLOUR["blue"], None, Pattern.SPOTTED)
    owl = Description(THING["elephant"])
    claims = (Claim(Link.LEFT_OF, 0, 1), Claim(Link.ON, 1, 2))
    parts = (Mention(0), " ", Wording(0), " ", Mention(1), " ", Wording(1), " ", Mention(2))
    text = word(Statement((dog, person, Description(GRASS)), claims, parts))
    assert text.text == "a small striped orange dog to the left of a person in spotted blue on the grass"
    assert [text.text[p.start : p.end] for p in text.phrases] == [
        "a small striped orange dog",
        "a person in spotted blue",
        "the grass",
    ]
    assert owl.words("a") == "an elephant"
    assert capitalised(Text("a dog. the cat.")).text == "A dog. The cat."


def test_contact_sheet(world: Path, tmp_path: Path) -> None:
    sheet = Image.open(contact_sheet(world, "val2017", tmp_path / "sheet.png", n=6))
    assert np.asarray(sheet).std() > 20
    with pytest.raises(FindError, match="entity_test2017"):
        contact_sheet(world, "test2017", tmp_path / "none.png")


def test_other_sizes_work() -> None:
    for size in (96, 224):
        made = scene(0, "val2017", 0, size)
        assert made.image.shape == (size, size, 3)
        assert made.segment_map.shape == (size, size)


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("here already")
    with pytest.raises(FindError, match="not an empty folder"):
        generate_world(tmp_path, images=2)
    with pytest.raises(FindError, match="images must be between"):
        generate_world(tmp_path / "new", images=0)
    with pytest.raises(FindError, match="size 16 "):
        generate_world(tmp_path / "new", images=2, size=16)
    with pytest.raises(FindError, match="split 'test'"):
        scene(0, "test", 0)
