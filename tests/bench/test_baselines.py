"""Every baseline loads from a folder as from the hub, answers in the protocols' terms, and agrees with its library."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import small_models
import torch
import torch.nn.functional as F
from PIL import Image

from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.evaluate import Task, evaluate
from find.evaluation.systems.benchmark_system import load_benchmark_system
from find.query.query import Phrase, Query, Region
from find.tasks import generic

CPU = torch.device("cpu")
LABELS = ("dog", "car", "sky-other-merged", "tree-merged", "zebra")


NAMES = (
    "open_clip",
    "siglip2",
    "naflex",
    "qwen-vl",
    "frozen-pair",
    "clipseg",
    "grounding-dino+sam",
    "sam3",
    "mask2former",
    "eomt",
)


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """By prefix, the spec of a small model of random weights, written when it is asked for first."""
    folder = tmp_path_factory.mktemp("baselines")

    @cache
    def of(prefix: str) -> str:
        if prefix == "frozen-pair":
            return "frozen-pair:find-tiny"
        if prefix == "grounding-dino+sam":
            names = small_models.write_grounding_dino(folder), small_models.write_sam(folder)
            return f"{prefix}:{'+'.join(names)}"
        if prefix == "naflex":
            return f"siglip2:{small_models.write_siglip2_naflex(folder)}"
        write = getattr(small_models, f"write_{prefix.replace('-', '_')}")
        return f"{prefix}:{write(folder, LABELS) if prefix in ('mask2former', 'eomt') else write(folder)}"

    return of


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_enters_all_the_protocols_it_names(name: str, spec: Callable[[str], str], world: Path):
    candidate = load_benchmark_system(spec(name), device=CPU)
    found = evaluate(candidate.system, world, tasks=candidate.tasks, limit=2, batch_size=2, progress=False)
    for task in candidate.tasks:
        assert task.value in found.results


def pictures(world: Path, count: int = 2) -> list[np.ndarray]:
    folder = CocoFolder(world, "val2017")
    return [folder.image(image_id) for image_id in folder.image_ids[:count]]


def spot(image: np.ndarray) -> Region:
    mask = np.zeros(image.shape[:2], bool)
    mask[10:40, 20:60] = True
    return Region(image, mask=mask, label="a thing")


@pytest.mark.parametrize("name", ["open_clip", "siglip2", "naflex", "qwen-vl"])
def test_vectors_depend_on_nothing_but_their_own_item(name: str, spec: Callable[[str], str], world: Path):
    """A batch of two is two batches of one; order and company change nothing."""
    system = load_benchmark_system(spec(name), device=CPU).system
    images = pictures(world)
    queries = [
        Query("a ", spot(images[0]), " next to ", Phrase("a red dog")),
        Query(Phrase("the sky"), " above ", spot(images[1]), " and ", spot(images[0])),
        Query("two cats stand"),
    ]
    together, alone = system.embed_queries(queries), [system.embed_queries([query]) for query in queries]
    for row, one in enumerate(alone):
        assert torch.allclose(together.query[row], one.query[0], atol=1e-5)
        count = one.entities.shape[1]
        assert torch.allclose(together.entities[row, :count], one.entities[0], atol=1e-5)
        assert together.padding[row].tolist() == [number >= count for number in range(together.padding.shape[1])]
    both = system.embed_images(images)
    for row, image in enumerate(images):
        assert torch.allclose(both.image[row], system.embed_images([image]).image[0], atol=1e-5)
    assert torch.allclose(both.image.norm(dim=-1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("name", ["open_clip", "siglip2"])
def test_a_dual_encoders_query_of_words_is_its_text_vector_and_a_region_its_crop(
    name: str, spec: Callable[[str], str], world: Path
):
    system = load_benchmark_system(spec(name), device=CPU).system
    image = pictures(world, 1)[0]
    words = system.embed_queries([Query("two cats ", Phrase("in front of"), " a car")])
    assert torch.allclose(words.query, system.embed_texts(["two cats in front of a car"]), atol=1e-6)
    shown = system.embed_queries([Query(spot(image))])
    cut = system.embed_images([np.ascontiguousarray(image[10:40, 20:60])]).image
    assert torch.allclose(shown.query, cut, atol=1e-6)
    assert torch.allclose(shown.entities[0], cut, atol=1e-6)


def test_open_clip_gives_the_librarys_own_vectors(spec: Callable[[str], str], world: Path):
    name = spec("open_clip").removeprefix("open_clip:")
    model, _, transform = open_clip.create_model_and_transforms(name)
    image = pictures(world, 1)[0]
    system = load_benchmark_system(spec("open_clip"), device=CPU).system
    with torch.no_grad():
        own = model.eval().encode_image(transform(Image.fromarray(image))[None], normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(name)(["a red dog"]), normalize=True)
    assert torch.allclose(system.embed_images([image]).image, own, atol=1e-6)
    assert torch.allclose(system.embed_texts(["a red dog"]), text, atol=1e-6)


def test_clipseg_asks_each_text_as_the_library_does(spec: Callable[[str], str], world: Path):
    system = load_benchmark_system(spec("clipseg"), device=CPU).system
    image = pictures(world, 1)[0]
    texts = ["a red dog", "the sky", "two cats next to a car"]
    answers = system.ground([image], [texts])[0]
    for text, answer in zip(texts, answers, strict=True):
        inputs = system.processor(text=[text], images=[image], return_tensors="pt")
        with torch.no_grad():
            logits = system.model(**inputs).logits
        logits = F.interpolate(logits.reshape(1, 1, *logits.shape[-2:]), image.shape[:2], mode="bilinear")[0, 0]
        assert np.array_equal(answer.mask, (logits.sigmoid() >= 0.5).numpy())
        assert answer.score == pytest.approx(float(logits.sigmoid().max()), abs=1e-6)


def test_clipseg_reads_a_region_by_its_pixels_and_others_by_its_words(spec: Callable[[str], str], world: Path):
    images = pictures(world)
    for name, by_pixels in (("clipseg", True), ("grounding-dino+sam", False), ("sam3", False)):
        system = load_benchmark_system(spec(name), device=CPU).system
        shown = system.segment([images[0]], [Query("see ", spot(images[1]))])[0][0]
        named = system.ground([images[0]], [["a thing"]])[0][0]
        assert (shown.score == named.score) != by_pixels


def test_without_words_a_region_is_refused_by_systems_that_read_words(spec: Callable[[str], str], world: Path):
    system = load_benchmark_system(spec("sam3"), device=CPU).system
    image = pictures(world, 1)[0]
    with pytest.raises(FindError, match="needs a label"):
        system.segment([image], [Query(Region(image, box=(0, 0, 9, 9)))])


@pytest.mark.parametrize("name", ["mask2former", "eomt"])
def test_universal_models_find_only_classes_that_they_name(name: str, spec: Callable[[str], str], world: Path):
    system = load_benchmark_system(spec(name), device=CPU).system
    image = pictures(world, 1)[0][:, :72]  # not square: the processor pads it
    names, things = ["unicorn", "sky", "dog"], [True, False, True]
    system.settings = generic.PanopticSettings(score=0.0, overlap=0.0)
    prediction = system.panoptic([image], names, things)[0]
    assert prediction.segment_map.shape == image.shape[:2]
    assert {segment.label for segment in prediction.segments} <= {1, 2}
    assert set(np.unique(prediction.segment_map)) - {0} == {segment.id for segment in prediction.segments}
    assert set(system.instances([image], names, things)[0].labels.tolist()) <= {2}
    assert set(np.unique(system.semantic([image], names)[0])) <= {1, 2}
    with pytest.raises(FindError, match="none of the model's 5 labels"):
        system.panoptic([pictures(world, 1)[0]], ["unicorn"], [True])


def test_mask2former_agrees_with_the_librarys_own_inference_where_nothing_is_padded(
    spec: Callable[[str], str], world: Path
):
    """The library brings masks to 384 x 384 first; on a square image that is nearly the same map."""
    system = load_benchmark_system(spec("mask2former"), device=CPU).system
    image = pictures(world, 1)[0]
    inputs = system.processor(images=image, return_tensors="pt")
    with torch.no_grad():
        output = system.model(pixel_values=inputs["pixel_values"])
    theirs = system.processor.post_process_semantic_segmentation(output, target_sizes=[image.shape[:2]])[0].numpy()
    ours = system.semantic([image], [name.removesuffix("-other-merged").removesuffix("-merged") for name in LABELS])[0]
    assert (theirs == ours).mean() > 0.97


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("clipseg:", "which one"),
        ("yolo:tiny", "no kind of model 'yolo'.*open_clip"),
        ("grounding-dino+sam:only/one", "name both models"),
        ("clipseg:no/such folder", "no folder"),
        ("open_clip:ViT-B-32/nothing", "no weights 'nothing'"),
        ("find-huge", "find-huge"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_sentence(wrong: str, message: str):
    with pytest.raises(FindError, match=message):
        load_benchmark_system(wrong, device=CPU)


def test_a_task_that_a_baseline_cannot_do_is_refused(spec: Callable[[str], str]):
    with pytest.raises(FindError, match="does not support the task 'panoptic'; it supports grounding"):
        load_benchmark_system(spec("clipseg"), device=CPU).choose(["panoptic"])
    assert load_benchmark_system(spec("mask2former"), device=CPU).choose(None) == [Task.PANOPTIC]
