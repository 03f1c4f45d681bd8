"""A batch says what its samples say: same pixels, same segments, prompts that mean what their targets are."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_folder import CROWD, DOG_BOX, SKY, dog

from find.data.batch import Batch
from find.data.coco import CocoFolder
from find.data.collate import Collate, PromptLimits
from find.data.indexed_sample import IndexedSample
from find.data.interleave import Interleaver, render
from find.data.sample import Foil, Sample
from find.data.transforms import resize
from find.tasks.core import load_tasks
from find.tasks.grounding import DrawnTexts
from find.tasks.interactive import DrawnStrokes
from find.tasks.interleaved_segmentation import DrawnSentences

MANY_SEEDS = range(30)


@pytest.fixture
def folder(tiny) -> CocoFolder:
    return CocoFolder(tiny.root, "val2017")


def make(folder: CocoFolder, samples: list[Sample], seed: int = 0, **options) -> Batch:
    return Collate(folder.categories, load_tasks(), **options)(samples, rngs(seed, len(samples)))


def grounded(batch: Batch) -> DrawnTexts:
    return batch.drawn["grounding"]


def drawn_strokes(batch: Batch) -> DrawnStrokes:
    return batch.drawn["interactive"]


def asked(batch: Batch) -> DrawnSentences:
    return batch.drawn["interleaved_segmentation"]


def rngs(seed: int, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, number)) for number in range(count)]


def samples_of(folder: CocoFolder) -> list[Sample]:
    return [folder[position] for position in range(len(folder))]


def test_pixels_and_segments_lie_in_the_upper_left_of_a_common_canvas(folder):
    samples = [resize(folder.sample(1), 40, 100), folder.sample(2)]
    batch = make(folder, samples)
    assert batch.images.shape == (2, 3, 64, 128) and batch.sizes.tolist() == [[40, 100], [48, 64]]
    for row, sample in enumerate(samples):
        h, w = sample.size
        assert np.array_equal(batch.images[row, :, :h, :w].permute(1, 2, 0).numpy(), sample.image)
        assert not batch.images[row, :, h:].any() and not batch.images[row, :, :, w:].any()
        assert (batch.segments[row, h:] == -1).all() and (batch.segments[row, :, w:] == -1).all()
        index = batch.segments[row, :h, :w].numpy()
        for column, id in enumerate((SKY, dog(sample.image_id))):
            assert np.array_equal(index == column, sample.segment_map == id)
        assert (index[sample.segment_map == CROWD] == -1).all()
    assert batch.labels.tolist() == [[2, 1], [2, 1]]  # sky, dog: places in the list of categories


def test_a_segment_without_pixels_is_not_in_the_batch(folder):
    sample = folder.sample(1)
    blank = replace(sample, segment_map=np.where(sample.segment_map == SKY, 0, sample.segment_map))
    batch = make(folder, [blank, folder.sample(2)])
    assert batch.labels.tolist() == [[1, -1], [2, 1]]
    assert all("sky" not in phrase for phrase in grounded(batch).texts[0])


def test_of_too_many_segments_the_largest_stay(folder):
    """The sky (1024 pixels) is larger than the dog (320); what means the dog alone goes with it."""
    batch = make(folder, samples_of(folder), max_segments=1)
    assert batch.labels.tolist() == [[2], [2], [2]]
    for row, image_id in enumerate((1, 2, 3)):
        assert np.array_equal(batch.segments[row, :48, :64] == 0, folder.segment_map(image_id) == SKY)
    assert not any("dog" in text for texts in grounded(batch).texts for text in texts)


def test_texts_that_read_alike_mean_all_their_segments(folder):
    batch = make(folder, samples_of(folder))
    meant = [
        {text: grounded(batch).targets[row, slot].nonzero().flatten().tolist() for slot, text in enumerate(texts)}
        for row, texts in enumerate(grounded(batch).texts)
    ]
    assert meant[0] == {"A dog on the left": [1], "the sky": [0], "the brown dog": [1], "sky": [0], "dog": [1]}
    assert meant[2] == {"sky": [0], "dog": [1]}
    assert not grounded(batch).targets[2, 2:].any()
    few = make(folder, samples_of(folder), limits=PromptLimits(phrases=2))
    assert all(len(texts) <= 2 for texts in grounded(few).texts)


def test_every_stroke_touches_the_segment_it_means(folder):
    for seed in MANY_SEEDS:
        batch = make(folder, samples_of(folder), seed)
        assert drawn_strokes(batch).strokes.shape[1] == 2 and (drawn_strokes(batch).targets >= 0).all()
        for row in range(3):
            assert sorted(drawn_strokes(batch).targets[row].tolist()) == [0, 1]
            for stroke, target in zip(
                drawn_strokes(batch).strokes[row], drawn_strokes(batch).targets[row], strict=True
            ):
                assert (stroke & (batch.segments[row] == target)).any()


def test_an_image_without_captions_is_spoken_of_all_the_same(folder):
    captions = {make(folder, samples_of(folder), seed).captions[2] for seed in MANY_SEEDS}
    assert captions == {"a photo of sky, dog"}
    wordless = replace(folder.sample(2), captions=())
    assert make(folder, [wordless]).captions == ["The sky is above a brown dog."]
    empty = Sample(9, "9.jpg", np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.int32))
    batch = make(folder, [empty])
    assert batch.captions == ["a photo"] and grounded(batch).texts == [[]]
    assert batch.labels.tolist() == [[-1]] and drawn_strokes(batch).targets.tolist() == [[-1]]
    assert asked(batch).padding.tolist() == [[True]]


def test_visual_entities_lose_their_words_and_show_what_their_reference_names(folder):
    """Image 1's dog refers to image 2's, which is in the batch: the region lies there, on the dog."""
    seen = False
    for seed in MANY_SEEDS:
        batch = make(folder, samples_of(folder), seed, placeholder="it")
        for row in range(3):
            query = asked(batch).queries[row]
            for slot, (start, end) in enumerate(query.spans):
                assert (
                    (query.text[start:end] == "it")
                    == query.is_region[slot]
                    == (asked(batch).region_rows[row, slot] >= 0)
                )
                assert asked(batch).regions[row, slot].any() == query.is_region[slot]
            assert asked(batch).padding[row].tolist() == [slot >= len(query.spans) for slot in range(2)]
        query = asked(batch).queries[0]
        if query.is_region[0]:
            seen = True
            assert query.text.startswith("it under") and "dog" not in query.text
            assert asked(batch).region_rows[0, 0] == 1
            x, y, width, height = DOG_BOX
            assert asked(batch).regions[0, 0, y - 2 : y + height + 2, x - 2 : x + width + 2].any()
        assert asked(batch).targets[0].tolist() == [[False, True], [True, False]]
    assert seen


def test_without_a_reference_another_image_lends_its_segment_of_the_same_category(folder):
    rows = [IndexedSample.of(sample) for sample in samples_of(folder)]
    interleave = Interleaver(placeholder="it", max_entities=4, category_share=1.0)
    lenders = set()
    for seed in MANY_SEEDS:
        query = interleave(rows, ["", "", ""], rngs(seed, 3), [0, 1, 2])[1]
        assert query.rendered.text == "it is above it."
        for region in query.regions:
            lenders.add(region.row)
    assert lenders == {0, 2}


def test_alone_in_its_batch_an_image_may_lend_its_own_segment(folder):
    rows = [IndexedSample.of(folder.sample(1))]
    shares = []
    for own in (0.0, 1.0):
        interleave = Interleaver(placeholder="it", max_entities=4, own_region_share=own)
        (query,) = interleave(rows, [""], rngs(0, 1), [0])
        shares.append([region and region.row for region in query.regions])
    assert shares == [[None, None], [0, 0]]


def test_false_relatives_are_false_and_keep_the_regions_of_the_true_sentence(folder):
    """Image 1's sentence has none labelled, so its phrases change places or its relation is turned."""
    seen = set()
    for seed in MANY_SEEDS:
        batch = make(folder, samples_of(folder), seed, placeholder="it")
        for row in asked(batch).has_false.nonzero()[:, 0].tolist():
            true, false, origin = (
                asked(batch).queries[row],
                asked(batch).false_queries[row],
                asked(batch).false_origin[row].tolist(),
            )
            assert false.text.lower() != true.text.lower() or (false.is_region == (True, True) and origin == [1, 0])
            for slot, (start, end) in enumerate(false.spans):
                assert false.is_region[slot] == true.is_region[origin[slot]]
                assert (false.text[start:end] == "it") == false.is_region[slot]
            if row == 0:
                seen.add(false.text)
        for row in (~asked(batch).has_false).nonzero()[:, 0].tolist():
            assert asked(batch).false_queries[row] == asked(batch).queries[row]
    assert len(seen) > 2


def test_labelled_false_relatives_are_taken_where_there_are_some(folder):
    sample = folder.sample(1)
    true = sample.sentences[0]
    words = true.phrases[0].text.replace("dog", "cat")
    text = words + true.text[true.phrases[0].end :]
    moved = len(words) - len(true.phrases[0].text)
    second = replace(true.phrases[1], start=true.phrases[1].start + moved, end=true.phrases[1].end + moved)
    false = replace(true, id=99, text=text, phrases=(replace(true.phrases[0], text=words, end=len(words)), second))
    sample = replace(sample, foils={true.id: (Foil(false, (0, 1)),)})
    kept = set()
    for seed in MANY_SEEDS:
        batch = make(folder, [sample, folder.sample(2)], seed, placeholder="it")
        shown = asked(batch).queries[0].is_region
        assert asked(batch).has_false[0] == (not shown[0])  # a region shows the dog, so "cat" cannot be asked by it
        if asked(batch).has_false[0]:
            assert "cat" in asked(batch).false_queries[0].text
        kept.add(shown[0])
    assert kept == {True, False}


def test_long_sentences_keep_the_words_of_surplus_phrases(folder):
    for seed in MANY_SEEDS:
        batch = make(folder, samples_of(folder), seed, limits=PromptLimits(entities=1))
        assert asked(batch).targets.shape[1] == 1
        assert all(len(query.spans) <= 1 for query in asked(batch).queries)


def test_an_image_without_sentence_asks_with_its_caption(folder):
    batch = make(folder, [folder.sample(3)])
    assert asked(batch).queries[0].text == batch.captions[0] and asked(batch).queries[0].spans == ()


def test_the_same_seed_gives_the_same_batch(folder):
    one, same, other = (make(folder, samples_of(folder), seed) for seed in (4, 4, 5))
    for field in fields(Batch):
        left, right = getattr(one, field.name), getattr(same, field.name)
        if field.name != "drawn":
            assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
    for name, left in one.drawn.items():
        for field in fields(left):
            mine, theirs = getattr(left, field.name), getattr(same.drawn[name], field.name)
            assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs
    assert not torch.equal(drawn_strokes(one).strokes, drawn_strokes(other).strokes)


def test_a_batch_moves_as_a_whole(folder):
    batch = make(folder, samples_of(folder))
    moved = batch.to("meta")
    for before, after in ((batch, moved), *((batch.drawn[name], moved.drawn[name]) for name in batch.drawn)):
        for field in fields(before):
            value = getattr(after, field.name)
            if isinstance(value, torch.Tensor):
                assert value.device.type == "meta"
            elif field.name != "drawn":
                assert value == getattr(before, field.name)


@given(
    pieces=st.lists(st.tuples(st.text(max_size=5), st.text(min_size=1, max_size=5), st.booleans()), max_size=6),
    tail=st.text(max_size=5),
)
def test_rendering_replaces_regions_and_only_regions(pieces, tail):
    text, spans = "", []
    for connection, words, _ in pieces:
        text += connection
        spans.append((len(text), len(text) + len(words)))
        text += words
    rendered = render(text + tail, spans, [visual for *_, visual in pieces], "[region]")
    assert rendered.text == "".join(c + ("[region]" if v else w) for c, w, v in pieces) + tail
    for (start, end), (_, words, visual) in zip(rendered.spans, pieces, strict=True):
        assert rendered.text[start:end] == ("[region]" if visual else words)
