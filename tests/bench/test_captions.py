"""Caption choices: known winners win, words alone tell only what they can, and the command does it all."""

import json
import random

import pytest
import torch

from find.cli.main import main
from find.data.caption_records import CaptionChoice
from find.evaluation.caption_choice import ALL, answer_by_words, answer_choices, summary, to_markdown, words_alone
from find.model.model import FIND
from find.world import generate_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate_world(tmp_path_factory.mktemp("world") / "w", images=1, val_images=24, seed=5, workers=1)


@pytest.fixture(scope="module")
def choices(world) -> list[CaptionChoice]:
    """The world's first attribute foils, as a published set would have them."""
    folder = world / "annotations"
    names = {
        image["id"]: image["file_name"]
        for image in json.loads((folder / "panoptic_val2017.json").read_text())["images"]
    }
    true = {a["id"]: a for a in json.loads((folder / "entity_val2017.json").read_text())["annotations"]}
    made = json.loads((folder / "hard_negatives_val2017.json").read_text())["annotations"]
    return [
        CaptionChoice(
            names[a["image_id"]],
            (true[a["sentence_id"]]["sentence"],),
            (a["sentence"],),
            a["changed"]["what"],
            str(a["id"]),
        )
        for a in made
    ]


class Oracle:
    """Gives each picture and caption the same one-hot vector where they belong together."""

    def __init__(self, captions: dict[str, str]) -> None:
        self.captions = captions  # caption -> picture
        self.pictures = sorted(set(captions.values()))

    def embed_texts(self, texts):
        return torch.stack([self._one(self.captions.get(text)) for text in texts])

    def embed_images(self, images):
        class Vectors:
            image = torch.stack([self._one(path.rpartition("/")[2]) for path in images])

        return Vectors

    def _one(self, name):
        return torch.tensor([float(name == known) for known in self.pictures] + [float(name is None)])


def test_an_oracle_wins_all_and_one_that_is_turned_round_none(world, choices):
    right = Oracle({text: choice.image for choice in choices for text in choice.true})
    wrong = Oracle({text: choice.image for choice in choices for text in choice.false})
    for system, expected in ((right, True), (wrong, False)):
        answers = answer_choices(system, choices, world / "val2017", batch_size=5, progress=False)
        assert [answer.choice for answer in answers] == choices
        assert {answer.is_won for answer in answers} == {expected}


def test_every_true_caption_has_to_win_and_a_tie_is_a_loss(world, choices):
    image = choices[0].image
    system = Oracle({"a": image, "b": image})
    asked = [
        CaptionChoice(image, ("a", "b"), ("x",), "two", "1"),
        CaptionChoice(image, ("a", "x"), ("y",), "two", "2"),
        CaptionChoice(image, ("a",), ("b",), "tie", "3"),
    ]
    answers = answer_choices(system, asked, world / "val2017", progress=False)
    assert [answer.is_won for answer in answers] == [True, False, False]


def test_find_tiny_beats_words_alone_on_its_world(world, choices):
    model = FIND.from_pretrained("find-tiny")
    answers = answer_choices(model, choices, world / "val2017", progress=False)
    found = summary("the world", answers, answer_by_words(choices))
    assert found.figures[ALL] > 85 > found.figures[words_alone(ALL)] + 15
    assert found.found_details["choices"][ALL] == len(choices)
    low, high = found.found_intervals[ALL]
    assert low <= found.figures[ALL] <= high
    assert to_markdown(found).count("\n") == 3 + len({choice.kind for choice in choices})


def test_words_alone_find_a_bias_and_nothing_where_there_is_none():
    chance = random.Random(0)
    nouns = [f"thing{k}" for k in range(30)]
    biased, fair = [], []
    for number in range(300):
        one, other = chance.sample(nouns, 2)
        pair = (f"a {one} near a {other}", f"a {other} near a {one}")
        fair.append(CaptionChoice(f"{number}.jpg", (pair[0],), (pair[1],), "fair", str(number)))
        biased.append(CaptionChoice(f"{number}.jpg", (pair[0],), (f"{pair[1]} not",), "biased", str(number)))
    won = {kind: sum(a.is_won for a in answer_by_words(said)) / 300 for kind, said in (("b", biased), ("f", fair))}
    assert won["b"] > 0.95 and 0.35 < won["f"] < 0.65


def test_the_command_writes_figures_and_tells_what_is_missing(world, choices, tmp_path, capsys):
    root = tmp_path / "set"
    root.mkdir()
    data = {c.item: {"filename": c.image, "caption": c.true[0], "negative_caption": c.false[0]} for c in choices[:6]}
    (root / "swap_obj.json").write_text(json.dumps(data))
    asked = ["bench", "captions", "sugarcrepe", "--root", str(root), "--pictures", str(world / "val2017")]
    out = tmp_path / "found.json"
    assert main([*asked, "--kinds", "swap_obj", "--limit", "4", "--out", str(out), "--device", "cpu"]) == 0
    record = json.loads(out.read_text())
    assert record["choices"] == {"swap_obj": 4, ALL: 4} and set(record["figures"]) >= {ALL, words_alone(ALL)}
    assert "| swap_obj |" in capsys.readouterr().out
    assert main([*asked, "--out", str(out)]) == 2
    assert "replace_obj.json is missing" in capsys.readouterr().err
    assert main(["data", "prepare", "sugarcrepe", str(root)]) == 1
    reported = capsys.readouterr().out
    assert "another file than the published one" in reported and "terms: captions: MIT" in reported
