"""Where weights come from: names and revisions are read exactly, and what goes wrong says what to do."""

import sys

import pytest
from huggingface_hub import errors
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from find.errors import FindError
from find.foundations.source import Source

http = sys.modules[errors.Response.__module__.partition(".")[0]]  # the hub's own library
RESPONSE = http.Response(403, request=http.Request("GET", "https://huggingface.co/owner/name"))


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("owner/name", "owner/name", None),
        ("owner/name@v1.0", "owner/name", "v1.0"),
        ("bert-base-uncased", "bert-base-uncased", None),
        ("owner/na.me_1@0123abc", "owner/na.me_1", "0123abc"),
    ],
)
def test_a_name_of_the_hub_may_have_a_revision(text, name, revision):
    source = Source.parse(text, spec=f"transformers:{text}")
    assert (source.name, source.revision, source.is_folder) == (name, revision, False)


def test_a_folder_is_a_folder_whatever_it_is_called(tmp_path):
    folder = tmp_path / "model@home"
    folder.mkdir()
    source = Source.parse(str(folder), spec="")
    assert source.is_folder and source.revision is None and source.pinned() == str(folder)


@pytest.mark.parametrize("text", ["/nowhere", "./here", "~/nowhere", "a/b/c", "a b", "owner/name@", "@main"])
def test_what_is_neither_is_refused_at_once(text):
    with pytest.raises(FindError, match="there is no folder"):
        Source.parse(text, spec=f"transformers:{text}")


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (GatedRepoError("gated", response=RESPONSE), r"is gated: accept its licence at https://hug.*co/owner/name"),
        (RepositoryNotFoundError("none", response=RESPONSE), "check the name, or `hf auth login`"),
        (RevisionNotFoundError("none", response=RESPONSE), "has no revision 'v2': see .*commits/main"),
        (LocalEntryNotFoundError("nothing cached"), "`hf download owner/name`"),
        (OfflineModeIsEnabled("offline"), "the hub cannot be reached"),
        (http.ConnectError("no route"), "the hub cannot be reached"),
        (RuntimeError("size mismatch\nand more"), "its weights cannot be read: size mismatch$"),
    ],
)
def test_what_goes_wrong_is_one_message_with_the_mend(cause, advice):
    source = Source.parse("owner/name@v2", spec="transformers:owner/name@v2")
    wrapped = cause if isinstance(cause, RuntimeError) else OSError("the library's own words")
    with pytest.raises(FindError, match=advice) as expected, source.reading("its weights"):
        raise wrapped from (None if wrapped is cause else cause)
    assert str(expected.value).startswith("transformers:owner/name@v2: its weights cannot be read: ")


def test_a_broken_folder_is_named(tmp_path):
    source = Source.parse(str(tmp_path), spec=f"transformers:{tmp_path}")
    with pytest.raises(FindError, match=f"the folder {tmp_path} must hold a whole model"), source.reading("it"):
        raise OSError("no file named model.safetensors")


def test_the_newest_revision_that_was_fetched_is_recorded(tmp_path, monkeypatch):
    """The hub's cache: refs/main names the commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "models--owner--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert Source.parse("owner/name", spec="").pinned() == f"owner/name@{commit}"
    assert Source.parse("owner/other", spec="").pinned() == "owner/other"
