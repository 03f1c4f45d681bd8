"""Text models of transformers as language encoders: the library's own numbers, exact offsets, no matter the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import DECODERS, ENCODERS, FAMILIES, TOWERS, write_composite, write_text_model
from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer

from find.errors import FindError
from find.foundations import LanguageEncoder, fingerprint, load_language
from find.tasks.interleaved import entity_of_token

TEXTS = ["a red dog", "", "two cats and the large blue car, next to  the region; naïve café 日本 🙂", "dog dog dog"]
ALPHABET = "aBdogrs İßﬁ é,.-'[]<>/|_日한ि🙂e\u0301\t\n\u00a0\u3000"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("text-models")
    return {family: write_text_model(family, root) for family in FAMILIES}


@pytest.fixture(scope="session")
def encoders(folders):
    return {family: load_language(f"transformers:{folder}") for family, folder in folders.items()}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def library_model(folder):
    auto = AutoModelForTextEncoding if folder.name == "t5" else AutoModel
    return auto.from_pretrained(folder).eval()


def test_it_is_what_the_protocol_says(encoders, family):
    encoder = encoders[family]
    assert isinstance(encoder, LanguageEncoder)
    features = encoder(encoder.tokenize(TEXTS))
    assert features.tokens.shape[-1] == encoder.width and features.tokens.isfinite().all()
    assert (features.pooled is None) == (encoder.pooled_dim is None) == (family not in TOWERS)
    assert encoder.context_length == 64
    assert not any(p.requires_grad for p in encoder.train().parameters()) and not encoder.training


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_features_are_the_librarys_own(encoders, folders, family):
    whole, tokenizer = library_model(folders[family]), AutoTokenizer.from_pretrained(folders[family])
    encoder = encoders[family]
    for text in filter(None, TEXTS):
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            wanted = whole(**inputs, output_hidden_states=True)
        tokenized = encoder.tokenize([text])
        assert tokenized.ids.tolist() == inputs["input_ids"].tolist()
        torch.testing.assert_close(encoder(tokenized).tokens, wanted.last_hidden_state, rtol=1e-4, atol=1e-5)
        cut = load_language(f"transformers:{folders[family]}#2")
        torch.testing.assert_close(cut(tokenized).tokens, wanted.hidden_states[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", TOWERS)
def test_pooled_texts_of_a_tower_are_the_librarys_own(encoders, folders, family):
    whole, tokenizer = library_model(folders[family]), AutoTokenizer.from_pretrained(folders[family])
    inputs = tokenizer(TEXTS, return_tensors="pt", padding="max_length", max_length=64)
    if family != "clip":
        inputs = {"input_ids": inputs["input_ids"]}
    with torch.no_grad():
        wanted = whole.get_text_features(**inputs)
    encoder = encoders[family]
    features = encoder(encoder.tokenize(TEXTS))
    torch.testing.assert_close(features.pooled, wanted.pooler_output, rtol=1e-4, atol=1e-5)
    middle = load_language(f"transformers:{folders[family]}#1")
    torch.testing.assert_close(middle(middle.tokenize(TEXTS)).pooled, features.pooled, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(middle(middle.tokenize(TEXTS)).tokens, features.tokens)


def test_a_text_means_the_same_in_any_batch(encoders, family):
    encoder = encoders[family]
    together = encoder(encoder.tokenize(TEXTS))
    for row, text in enumerate(TEXTS):
        alone = encoder(encoder.tokenize([text]))
        length = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row, :length], alone.tokens[0], rtol=1e-4, atol=1e-5)
        assert together.padding[row].tolist() == [False] * length + [True] * (together.padding.shape[1] - length)
        assert not together.tokens[row, length:].any() and not together.offsets[row, length:].any()
        if alone.pooled is not None:
            torch.testing.assert_close(together.pooled[row], alone.pooled[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_only_the_blocks_that_are_read_are_built(encoders, folders, family):
    whole, cut = encoders[family], load_language(f"transformers:{folders[family]}#1")
    sizes = [sum(p.numel() for p in encoder.model.parameters()) for encoder in (cut, whole)]
    assert sizes[0] < sizes[1] and cut.model.config.num_hidden_layers == 1
    assert cut.spec == f"transformers:{folders[family]}#1"
    assert fingerprint(cut) != fingerprint(whole)


def test_of_a_model_of_several_inputs_the_text_part_alone_is_read(tmp_path):
    folder, whole = write_composite(tmp_path)
    cut = load_language(f"transformers:{folder}#2")
    tokenized = cut.tokenize(["a red dog"])
    with torch.no_grad():
        wanted = whole(input_ids=tokenized.ids, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(cut(tokenized).tokens, wanted, rtol=1e-4, atol=1e-5)
    assert not [name for name in cut.state_dict() if "vision" in name]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(ALPHABET, max_size=24), min_size=1, max_size=3))
def test_offsets_cover_every_character_in_order_and_no_space_at_their_ends(encoders, texts):
    for family, encoder in encoders.items():
        for text, offsets in zip(texts, encoder.tokenize(texts).offsets.tolist(), strict=True):
            spans = [(a, b) for a, b in offsets if b > a]
            assert all(0 <= a < b <= len(text) and text[a:b] == text[a:b].strip() for a, b in spans), family
            assert [a for a, _ in spans] == sorted(a for a, _ in spans), family
            covered = {place for a, b in spans for place in range(a, b)}
            left_out = {text[place] for place in range(len(text)) if place not in covered and not text[place].isspace()}
            assert left_out <= {"\u0301", "ि"}, (family, left_out)  # marks that BERT strips from their letters


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_an_entitys_tokens_are_its_words_and_no_others(encoders, data):
    """Words repeat, spaces too, and spans may begin or end with spaces."""
    word = st.sampled_from(["dog", "a", "red", "café", "日本", "Region", "zqx"])
    words = data.draw(st.lists(word, min_size=1, max_size=8))
    gaps = data.draw(st.lists(st.sampled_from([" ", "  ", " \t "]), min_size=len(words) + 1, max_size=len(words) + 1))
    text, places = gaps[0], []
    for word, gap in zip(words, gaps[1:], strict=True):
        places.append((len(text), len(text) + len(word)))
        text += word + gap
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    slack = data.draw(st.integers(0, 1))  # a span that takes a space before and behind it
    span = (places[first][0] - slack, places[last][1] + slack)
    wanted = {place for a, b in places[first : last + 1] for place in range(a, b)}
    for family, encoder in encoders.items():
        tokenized = encoder.tokenize([text])
        owner = entity_of_token(tokenized.offsets, torch.tensor([[span]]), tokenized.padding)[0]
        got = {place for a, b in tokenized.offsets[0][owner == 0].tolist() for place in range(a, b)}
        assert got == wanted, family


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(["dog", "the", "two", "region", "blue"]), min_size=1, max_size=9).map(" ".join))
def test_a_tokens_characters_are_what_it_decodes_to(encoders, folders, text):
    for family, encoder in encoders.items():
        tokenized = encoder.tokenize([text])
        for number, (a, b) in zip(tokenized.ids[0].tolist(), tokenized.offsets[0].tolist(), strict=True):
            piece = encoder.tokenize.backend.id_to_token(number).strip("Ġ▁#").removesuffix("</w>")
            if b > a and piece and number != encoder.tokenize.unknown_id:  # else a special token, or a word's beginning
                assert piece.casefold() == text[a:b].casefold(), family


@pytest.mark.parametrize("around", ["a {} b", "({})", "{}, and", "x\u00a0{}!", "{}"])
def test_the_placeholder_keeps_to_itself(encoders, around):
    for family, encoder in encoders.items():
        text = around.format(encoder.placeholder)
        start = text.index(encoder.placeholder)
        span = (start, start + len(encoder.placeholder))
        tokenized = encoder.tokenize([text])
        touching = [(a, b) for a, b in tokenized.offsets[0].tolist() if a < span[1] and b > span[0]]
        assert touching and all(span[0] <= a and b <= span[1] for a, b in touching), family
        assert not tokenized.unknown[0] or encoder.placeholder not in tokenized.unknown[0]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "t5"])  # whose pieces hold them
def test_special_tokens_cannot_be_written(encoders, family):
    backend = encoders[family].tokenize.backend
    ids = encoders[family].tokenize(["a <s> </s> <eos> [SEP] <|endoftext|> <pad> b"]).ids[0].tolist()
    own = encoders[family].tokenize(["a b"]).ids[0].tolist()
    special = {backend.token_to_id(t) for t in ("<s>", "</s>", "<eos>", "[SEP]", "<|endoftext|>", "<pad>")} - {None}
    assert [i for i in ids if i in special] == [i for i in own if i in special]


def test_long_texts_are_refused_or_cut_and_told(folders, family):
    refusing = load_language(f"transformers:{folders[family]}")
    with pytest.raises(FindError, match="more than the 64 that"):
        refusing.tokenize(["dog " * 70])
    cutting = load_language(f"transformers:{folders[family]}", long_texts="cut")
    with pytest.warns(UserWarning, match="first 64 tokens"):
        tokenized = cutting.tokenize(["dog " * 70, "a dog", "a dog " * 70])
    assert tokenized.ids.shape[1] == 64 and cutting.tokenize.cut == 2
    short = refusing.tokenize(["a dog"])
    length = short.ids.shape[1]
    assert tokenized.ids[1, :length].tolist() == short.ids[0].tolist()
    ends = short.ids[0, -1] if short.offsets[0, -1].sum() == 0 else None  # the end token stays
    assert ends is None or tokenized.ids[0, -1] == ends
    assert cutting(tokenized).tokens.isfinite().all()


def test_low_precision_weights_give_the_same_in_float32(encoders, folders, family):
    half = load_language(f"transformers:{folders[family]}", dtype=torch.bfloat16)
    texts = [text for text in TEXTS if text]
    features, full = half(half.tokenize(texts)), encoders[family](encoders[family].tokenize(texts))
    assert half.dtype == torch.bfloat16 and features.tokens.dtype == torch.float32
    similarity = torch.cosine_similarity(features.tokens, full.tokens, dim=-1)[~features.padding]
    assert (similarity > 0.98).all()


def test_random_weights_are_the_same_each_time_and_others_than_the_files(folders, encoders, family):
    first, second = (load_language(f"random:transformers:{folders[family]}#1") for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    assert first.spec == f"random:transformers:{folders[family]}#1"
    trained = load_language(f"transformers:{folders[family]}#1")
    assert fingerprint(trained) != fingerprint(first)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("transformers:/nowhere", "there is no folder '/nowhere'"),
        ("transformers:", "transformers:NAME"),
        ("transformers:{bert}#9", "has 3 blocks, not 9"),
        ("transformers:{clip}#0", "has 3 blocks, not 0"),
        ("transformers:{bert}#x", "number of a block"),
        ("llama:{bert}#1", "not a LLaMA"),
    ],
)
def test_what_is_not_there_is_told(folders, spec, expected):
    with pytest.raises(FindError, match=expected):
        load_language(spec.format(**folders))


def test_a_folder_without_weights_or_tokenizer_says_so(folders, tmp_path):
    (tmp_path / "config.json").write_bytes((folders["qwen3"] / "config.json").read_bytes())
    with pytest.raises(FindError, match=r"its weights cannot be read: .*model\.safetensors"):
        load_language(f"transformers:{tmp_path}")
    with pytest.raises(FindError, match="are the tokenizer files there"):
        load_language(f"random:transformers:{tmp_path}")
