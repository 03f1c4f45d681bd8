"""Sentences of FIND-Bench are read as they are meant, whatever liberties their files take."""

import copy
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_folder import CROWD, SKY, TinyFolder, dog

from find.data.coco import CocoFolder
from find.data.dataset_issue import DatasetIssue
from find.data.find_bench import _in_order, _span
from find.data.sample import PhraseSpan, Sentence
from find.data.schema import PhraseRecord
from find.errors import FindError


def sentence(tiny: TinyFolder, image: int = 1) -> Sentence:
    return CocoFolder(tiny.write(), "val2017").sentences_of(image)[0]


def record(tiny: TinyFolder, image: int = 1) -> dict:
    return tiny.files["entity_val2017.json"]["annotations"][image - 1]


class TestLiberties:
    def test_annotation_ids_are_ints_or_digits(self, tiny):
        expected = sentence(tiny)
        for phrase in record(tiny)["phrase"]:
            phrase["annotation_id"] = int(phrase["annotation_id"])
        assert sentence(tiny) == expected

    def test_a_span_may_start_with_a_space(self, tiny):
        expected = sentence(tiny)
        tiny.phrase(number=1)["start_idx"] -= 1
        assert sentence(tiny) == expected

    def test_underscore_start_holds_where_start_does_not(self, tiny):
        expected = sentence(tiny)
        phrase = tiny.phrase(number=1)
        phrase["_start_idx"], phrase["start_idx"] = phrase["start_idx"], 3
        assert sentence(tiny) == expected
        del phrase["start_idx"]
        assert sentence(tiny) == expected

    def test_phrases_are_sorted(self, tiny):
        expected = sentence(tiny)
        record(tiny)["phrase"].reverse()
        assert sentence(tiny) == expected

    def test_words_given_twice_mean_all_their_segments(self, tiny):
        twice = copy.deepcopy(tiny.phrase())
        twice["annotation_id"] = SKY
        record(tiny)["phrase"].append(twice)
        assert sentence(tiny).phrases[0].segment_ids == (dog(1), SKY)
        assert len(sentence(tiny).phrases) == 2

    def test_phrases_may_share_a_segment(self, tiny):
        tiny.phrase(number=1)["annotation_id"] = str(dog(1))
        assert [phrase.segment_ids for phrase in sentence(tiny).phrases] == [(dog(1),), (dog(1),)]


class TestFaults:
    def leaves_out(self, tiny: TinyFolder, kind: str) -> Sentence:
        with pytest.warns(UserWarning, match=f"{kind}: 1.*findvl data check") as warned:
            folder = CocoFolder(tiny.write(), "val2017")
        assert len(warned) == 1 and folder.skipped == {kind: 1}
        return folder.sentences_of(1)[0]

    def refuses(self, tiny: TinyFolder, *words: str) -> None:
        with pytest.raises(FindError) as caught:
            CocoFolder(tiny.write(), "val2017")
        for word in ("annotations/entity_val2017.json, ", *words):
            assert word in str(caught.value)

    def test_a_phrase_of_an_unknown_segment_is_left_out_and_told(self, tiny):
        tiny.phrase()["annotation_id"] = "424242"
        assert [phrase.text for phrase in self.leaves_out(tiny, "unknown annotation id").phrases] == ["the sky"]

    def test_a_phrase_of_a_crowd_is_left_out_and_told(self, tiny):
        tiny.phrase()["annotation_id"] = CROWD
        assert [phrase.text for phrase in self.leaves_out(tiny, "crowd annotation id").phrases] == ["the sky"]

    def test_a_reference_to_nothing_is_taken_off_its_phrase(self, tiny):
        tiny.phrase()["reference"]["annotation_id"] = 5
        assert self.leaves_out(tiny, "unusable reference").phrases[0].reference is None

    def test_of_overlapping_phrases_the_longer_stays(self, tiny):
        phrase = copy.deepcopy(tiny.phrase())
        phrase.update(phrase="dog", start_idx=2, end_idx=5)
        record(tiny)["phrase"].insert(0, phrase)
        kept = self.leaves_out(tiny, "overlapping phrases").phrases
        assert [one.text for one in kept] == ["A dog on the left", "the sky"]

    def test_words_that_are_not_at_their_span_are_left_out_and_told(self, tiny):
        tiny.phrase(number=1)["start_idx"] -= 4
        assert len(self.leaves_out(tiny, "phrase differs from its span").phrases) == 1

    def test_a_span_outside_its_sentence_is_refused(self, tiny):
        tiny.phrase(number=1)["end_idx"] = 99
        self.refuses(tiny, "sentence 10 of image 1, phrase 2", '"the sky"', "24 to 99", "of 32", "Correct start_idx")

    def test_the_entity_file_of_another_split_is_refused(self, tiny):
        for entry in tiny.files["entity_val2017.json"]["annotations"]:
            entry["image_id"] += 100
        self.refuses(tiny, "2 of 2 sentences", "images are not in panoptic_val2017.json", "of one split")

    def test_ids_of_another_data_set_are_refused(self, tiny):
        for image in (1, 2):
            for number in (0, 1):
                tiny.phrase(image, number)["annotation_id"] = "99"
        self.refuses(tiny, "4 of 4 phrases", "not segments of panoptic_val2017.json")

    @pytest.mark.parametrize("field", ["annotation_id", "end_idx", "phrase"])
    def test_a_phrase_without_a_field_is_refused(self, tiny, field):
        del tiny.phrase()[field]
        self.refuses(tiny, "sentence 10 of image 1, phrase 1", f"'{field}' is missing")

    def test_an_annotation_id_that_is_no_number_is_refused(self, tiny):
        tiny.phrase()["annotation_id"] = "dog"
        self.refuses(tiny, "phrase 1", "invalid literal", "Write the record again")


@given(before=st.text(max_size=8), words=st.text(min_size=1, max_size=8), after=st.text(max_size=8), data=st.data())
def test_a_span_is_found_again_whatever_the_text(before, words, after, data):
    """Spans around any words, with or without the spaces beside them, come back as the words themselves."""
    words = words.strip()
    if not words:
        return
    text = f"{before} {words} {after}"
    start, end = len(before) + 1, len(before) + 1 + len(words)
    wider_start, wider_end = start - data.draw(st.integers(0, 1)), end + data.draw(st.integers(0, 1))
    entry = PhraseRecord(phrase=words, annotation_id=1, start_idx=wider_start, end_idx=wider_end)

    def refuse(issue: DatasetIssue) -> None:
        raise AssertionError(issue)

    assert _span(entry, text, "file", "item", refuse) == (start, end)


@given(start=st.integers(-5, 20), end=st.integers(-5, 20))
def test_a_span_is_never_outside(start, end):
    text = "a dog on grass"
    reported: list[DatasetIssue] = []
    entry = PhraseRecord(phrase=text[max(start, 0) : end], annotation_id=1, start_idx=start, end_idx=end)
    found = _span(entry, text, "file", "item", reported.append)
    assert (found is None) == bool(reported)
    if found is not None:
        assert 0 <= found[0] < found[1] <= len(text) and text[slice(*found)] == text[slice(*found)].strip()


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 6), st.integers(1, 9)), max_size=8))
def test_phrases_in_order_never_overlap_and_only_overlaps_are_told(spans):
    phrases = [PhraseSpan("words", start, start + length, (id,)) for start, length, id in spans]
    reported: list[DatasetIssue] = []
    kept = _in_order(phrases, "file", "item", reported.append)
    assert all(one.end <= other.start for one, other in pairwise(kept))
    assert len(kept) + len(reported) == len({(phrase.start, phrase.end) for phrase in phrases})
