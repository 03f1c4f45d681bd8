"""Claims about queries: what is written is what is read, spans hold their entity, and errors name the part."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from find.errors import FindError
from find.query.query import Phrase, Query, Region

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
some_words = words.filter(str.strip)
paths = st.text(st.sampled_from("ab/.-_ @#[]{}\\,;é0"), min_size=1, max_size=10)
coordinates = st.integers(0, 5000) | st.floats(0, 5000)
points = st.tuples(coordinates, coordinates)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).filter(
    lambda box: box[0] != box[2] and box[1] != box[3]
)
phrases = some_words.map(Phrase)
file_regions = st.one_of(
    st.builds(lambda path, points: Region(path, points=points), paths, st.lists(points, min_size=1, max_size=3)),
    st.builds(lambda path, box: Region(path, box=box), paths, boxes),
    st.builds(lambda path, mask: Region(path, mask=mask), paths, paths.filter(str.strip)),
)


def queries_of(*kinds):
    parts = st.lists(st.one_of(*kinds), max_size=6)
    return parts.filter(lambda ps: any(not isinstance(p, str) or p.strip() for p in ps)).map(lambda ps: Query(*ps))


file_queries = queries_of(words, phrases, file_regions)
canvas = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
inner = st.tuples(st.integers(0, 7), st.integers(0, 5))
memory_regions = st.one_of(
    st.builds(
        lambda bits: Region(canvas, mask=np.array(bits).reshape(6, 8)),
        st.lists(st.booleans(), min_size=48, max_size=48).filter(any),
    ),
    st.builds(
        lambda line, label: Region(Image.fromarray(canvas), scribble=line, label=label),
        st.lists(inner, min_size=2, max_size=4),
        st.none() | words,
    ),
    st.builds(lambda line: Region("a.jpg", polygon=line), st.lists(points, min_size=3, max_size=5)),
)


@settings(deadline=None)
@given(file_queries)
def test_parse_reads_what_format_writes(query):
    assert Query.parse(query.format()) == query


@settings(deadline=None)
@given(queries_of(words, phrases, file_regions, memory_regions))
def test_json_round_trip(query):
    again = Query.from_json(json.loads(json.dumps(query.to_json())))
    assert again == query
    assert hash(again) == hash(query)


@settings(deadline=None)
@given(words)
def test_parse_reads_or_says_which_part(text):
    try:
        query = Query.parse(text)
    except FindError as error:
        assert re.search(r"part \d+ .* at character \d+|backslash at character \d+|query is empty", str(error), re.S)
    else:
        assert Query.parse(query.format()) == query


@settings(deadline=None)
@given(file_queries)
def test_spans_hold_the_entities_in_order(query):
    rendered = query.render("[region]")
    shown = [rendered.text[start:end] for start, end in rendered.spans]
    assert shown == ["[region]" if isinstance(e, Region) else e.text for e in query.entities]
    assert rendered.is_region == tuple(isinstance(e, Region) for e in query.entities)
    assert query.spans("[region]") == rendered.spans
    edges = [0, *(edge for span in rendered.spans for edge in span), len(rendered.text)]
    assert edges == sorted(edges)


@settings(deadline=None)
@given(file_queries)
def test_rendering_adds_nothing_but_single_spaces(query):
    exact = "".join(p if isinstance(p, str) else "[r]" if isinstance(p, Region) else p.text for p in query.parts)
    rendered = query.render("[r]").text
    assert re.sub(r"\s", "", rendered) == re.sub(r"\s", "", exact)
    assert len(exact) <= len(rendered) <= len(exact) + len(query.parts) - 1


def test_the_form_of_the_command_line():
    query = Query.parse(r"a [dog.jpg@120,80] next to {a red sofa}, [b.jpg@1,2,3.5,4] [c.jpg@1,2;3,4] [d.jpg#m.png]!")
    assert query.parts == (
        "a ",
        Region("dog.jpg", points=[(120, 80)]),
        " next to ",
        Phrase("a red sofa"),
        ", ",
        Region("b.jpg", box=(1, 2, 3.5, 4)),
        " ",
        Region("c.jpg", points=[(1, 2), (3, 4)]),
        " ",
        Region("d.jpg", mask="m.png"),
        "!",
    )


def test_text_alone_is_a_query_without_entities():
    query = Query.parse("me@home #1")
    assert query.parts == ("me@home #1",)
    assert query.entities == ()


def test_escapes_are_literal():
    query = Query.parse(r"\{x\} [my\@dog\#1.jpg#m\].png] {a \[b\]} \\")
    assert query.parts == ("{x} ", Region("my@dog#1.jpg", mask="m].png"), " ", Phrase("a [b]"), " \\")


def test_relative_paths_start_at_the_folder(tmp_path):
    query = Query.parse("[dog.jpg#m.png] [/abs/cat.jpg@1,2]", folder=tmp_path)
    dog, cat = query.entities
    assert (dog.image, dog.mask) == (str(tmp_path / "dog.jpg"), str(tmp_path / "m.png"))
    assert cat.image == "/abs/cat.jpg"


@pytest.mark.parametrize(
    ("text", "part", "position", "words"),
    [
        ("a {red sofa", 2, 3, "never closed"),
        ("a [dog.jpg@1,2", 2, 3, "never closed"),
        ("a dog] runs", 2, 6, "nothing is open"),
        ("{a [dog.jpg@1,2]}", 1, 1, "cannot stand inside a phrase"),
        ("see {} here", 2, 5, "empty"),
        ("[dog.jpg]", 1, 1, "no place"),
        ("{x} [dog.jpg@1,2,3]", 3, 5, "neither a point"),
        ("[dog.jpg@left]", 1, 1, "'left' is not a number"),
        ("[photo@2x.jpg#m.png]", 1, 1, "more than one @ or #"),
        ("[@1,2]", 1, 1, "a region is a path"),
        ("[dog.jpg#]", 1, 1, "a region is a path"),
        ("[dog.jpg@5,5,5,9]", 1, 1, "no area"),
        ("[dog.jpg@nan,1]", 1, 1, "finite"),
    ],
)
def test_syntax_errors_name_part_position_and_cause(text, part, position, words):
    with pytest.raises(FindError) as caught:
        Query.parse(text)
    assert re.search(rf"part {part} .* at character {position}: .*{re.escape(words)}", str(caught.value))


@pytest.mark.parametrize("text", ["a\\", r"C:\dogs"])
def test_a_backslash_before_nothing_special_is_an_error(text):
    with pytest.raises(FindError, match="backslash at character"):
        Query.parse(text)


@pytest.mark.parametrize("parts", [(), ("",), ("  ", " ")])
def test_an_empty_query_is_an_error(parts):
    with pytest.raises(FindError, match="empty"):
        Query(*parts)


def test_a_wrong_part_is_named():
    with pytest.raises(FindError, match=r"part 2 .* int"):
        Query("a ", 3)


def test_neighbouring_texts_are_one_part():
    assert Query("a", "", " dog ", Phrase(" x ")).parts == ("a dog ", Phrase("x"))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("a ", Region("d.jpg", points=(1, 2)), " next to ", Phrase("a sofa"), "."), "a [r] next to a sofa."),
        (("a", Region("d.jpg", points=(1, 2)), "beside", Phrase("a sofa")), "a [r] beside a sofa"),
        ((Phrase("the dog"), "'s tail, (", Phrase("long"), ")"), "the dog's tail, (long)"),
        ((Phrase("one"), Phrase("two"), Region("d.jpg", points=(1, 2))), "one two [r]"),
        (("  two  spaces  ", Phrase("stay")), "  two  spaces  stay"),
    ],
)
def test_words_of_neighbouring_parts_never_run_together(parts, text):
    assert Query(*parts).render("[r]").text == text


def test_readable_text_shows_labels_and_file_names():
    query = Query(
        Region("photos/dog.jpg", points=(1, 2)), " and ", Region(canvas, points=(1, 2)), " and ",
        Region("a.jpg", box=(0, 0, 1, 1), label="my cat"),
    )  # fmt: skip
    assert query.text == "[dog.jpg] and [image] and [my cat]"
    assert [query.text[a:b] for a, b in query.spans()] == ["[dog.jpg]", "[image]", "[my cat]"]


def test_regions_of_one_picture_are_told_apart_by_where_they_are():
    mask = np.zeros(canvas.shape[:2], bool)
    mask[3, 2:5] = True
    query = Query(
        Region("dog.jpg", points=(1, 2)), " of ", Region("cat.jpg", points=(1, 2)), " by ",
        Region("dog.jpg", box=(0, 0, 4, 1.5)), Region("dog.jpg", mask="m.png"),
        Region("dog.jpg", scribble=[(5, 6), (7, 8)]), Region(canvas, mask=mask),
        Region(canvas, points=[(1, 2), (3, 4)]),
    )  # fmt: skip
    names = ("[dog.jpg@1,2]", "[cat.jpg]", "[dog.jpg@0,0,4,1.5]", "[dog.jpg#m.png]", "[dog.jpg, a scribble at 5,6]",
             "[image, a mask at 2,3]", "[image@1,2;3,4]")  # fmt: skip
    assert query.entity_names == names
    assert tuple(query.text[a:b] for a, b in query.spans()) == names


@pytest.mark.parametrize(
    "region",
    [
        Region(canvas, points=(1, 2)),
        Region("a.jpg", mask=np.ones((2, 2), bool)),
        Region("a.jpg", scribble=[(0, 0), (1, 1)]),
        Region("a.jpg", points=(1, 2), label="x"),
    ],
)
def test_what_text_cannot_hold_is_refused_not_dropped(region):
    with pytest.raises(FindError, match=r"part 2 .* use to_json"):
        Query("a ", region).format()


def test_check_names_the_part_with_the_missing_file(tmp_path):
    Image.fromarray(canvas).save(tmp_path / "good.png")
    with pytest.raises(FindError, match=r"part 3 .*gone\.jpg.*no such image"):
        Query.parse("[good.png@1,2] and [gone.jpg@1,2]", folder=tmp_path).check()
    Query.parse("[good.png@1,2]", folder=tmp_path).check()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "list 'parts'"),
        ({"parts": "text"}, "list 'parts'"),
        ({"parts": ["a ", 3]}, "part 2"),
        ({"parts": [{"phrase": 3}]}, "part 1 .* text"),
        ({"parts": [{"region": {"image": "a.jpg", "points": [[1, 2]], "dot": 1}}]}, "part 1 .*'dot'"),
        ({"parts": [{"region": {"points": [[1, 2]]}}]}, "part 1 .*no 'image'"),
        ({"parts": [{"region": {"image": {"png": "!"}, "points": [[1, 2]]}}]}, "part 1 .*base64"),
        ({"parts": [{"region": {"image": {"png": "aGk="}, "points": [[1, 2]]}}]}, "part 1 .*not an image"),
        ({"parts": [{"region": {"image": "a", "mask": {"size": [2, 2], "counts": "~~~"}}}]}, "part 1 .*RLE"),
        ({"parts": [{"region": {"image": 3, "points": [[1, 2]]}}]}, "part 1 .*image"),
    ],
)
def test_broken_json_names_the_part(data, words):
    with pytest.raises(FindError, match=words):
        Query.from_json(data)


class TestFromSentence:
    sentence = "A woman sits on a sofa."

    def test_words_become_phrases_and_regions(self):
        sofa = Region("sofa.jpg", points=(1, 2))
        query = Query.from_sentence(self.sentence, [(0, 7), (16, 22)], {1: sofa})
        assert query.parts == (Phrase("A woman"), " sits on ", sofa, ".")

    def test_without_regions_it_renders_as_it_was(self):
        rendered = Query.from_sentence(self.sentence, [(0, 7), (16, 22)]).render("[r]")
        assert rendered.text == self.sentence
        assert rendered.spans == ((0, 7), (16, 22))

    def test_a_span_with_a_leading_space_is_trimmed_and_the_sentence_kept(self):
        rendered = Query.from_sentence(self.sentence, [(15, 22)]).render("[r]")
        assert (rendered.text, rendered.spans) == (self.sentence, ((16, 22),))

    @pytest.mark.parametrize(
        ("spans", "regions", "words"),
        [
            ([(0, 99)], {}, "entity 0 at .* outside"),
            ([(0, 7), (7, 7)], {}, "entity 1 at .* outside"),
            ([(0, 7), (7, 8)], {}, "entity 1 at .* no words"),
            ([(16, 22), (0, 7)], {}, "entity 1 at .* sort"),
            ([(0, 7), (0, 7)], {}, "entity 1 at .* merge"),
            ([(0, 7)], {1: Region("a.jpg", points=(1, 2))}, "entity 1, but .* 1 entities"),
        ],
    )
    def test_bad_spans_are_named(self, spans, regions, words):
        with pytest.raises(FindError, match=words):
            Query.from_sentence(self.sentence, spans, regions)

    def test_real_find_bench_sentences(self, shared):
        path = shared / "coco-sample/coco/annotations/entity_val2017_long.json"
        for record in json.loads(path.read_text())["annotations"]:
            spans = sorted({(p["start_idx"], p["end_idx"]) for p in record["phrase"]})
            query = Query.from_sentence(record["sentence"], spans)
            assert query.render("[r]").text == record["sentence"]
            assert [e.text for e in query.entities] == [record["sentence"][a:b].strip() for a, b in spans]
            assert Query.parse(query.format()) == query


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("{a cup} between {a vase} and {a clock}", ["", "between", "between and", ""]),
        ("{a cup} is between {a vase} and {a clock} on {sand}", ["", "is between", "between and", "on", ""]),
        ("{a cup} left of {a vase} and {a clock} and", ["", "left of", "and", "and"]),
        ("between {a cup} and {a vase}, {a clock}", ["between", "between and", "", ""]),
        ("and {a cup}", ["and", ""]),
    ],
)
def test_and_after_between_goes_on_with_it(said, read):
    assert Query.parse(said).render("it").readings == read
