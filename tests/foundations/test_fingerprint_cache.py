"""A kept fingerprint is that of the weights: changed files, other encoders and damaged notes are noticed."""

import os
import shutil

import pytest

from find.foundations import fingerprint, fingerprint_cache, load_language, load_vision, tiny
from find.foundations.fingerprint_cache import cache_folder, cached_fingerprint


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """Fingerprints that were computed, not read; in a cache folder of their own."""
    computed = []

    def compute(module):
        computed.append(fingerprint(module))
        return computed[-1]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint_cache, "fingerprint", compute)
    return computed


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny pair as open_clip's, written a minute ago."""
    copy = tmp_path / "pair"
    shutil.copytree(tiny.FOLDER, copy)
    _touch(copy, 60)
    return copy


def _touch(folder, seconds_ago):
    for file in folder.iterdir():
        moment = file.stat().st_mtime_ns - seconds_ago * 10**9
        os.utime(file, ns=(moment, moment))


def test_it_is_computed_once_for_each_encoder(counted):
    vision, language = load_vision(), load_language()
    for _ in range(3):
        assert cached_fingerprint(vision, "tiny") == fingerprint(vision)
        assert cached_fingerprint(language, "tiny") == fingerprint(language)
    assert len(counted) == 2


def test_changed_weights_are_noticed(counted, folder):
    spec = f"open_clip:local-dir:{folder}"
    vision = load_vision(spec)
    before = cached_fingerprint(vision, spec)
    assert cached_fingerprint(load_vision(spec), spec) == before and len(counted) == 1
    weights = folder / tiny.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-400:] = bytes(400)  # of the same size, in the middle of a tensor
    weights.write_bytes(content)
    os.utime(weights, ns=(1, 1))
    changed = load_vision(spec)
    assert before != cached_fingerprint(changed, spec) == fingerprint(changed) == counted[-1]
    assert len(counted) == 2


def test_files_that_were_just_written_and_random_weights_are_not_kept(counted, folder):
    (folder / tiny.WEIGHTS).touch()
    spec = f"open_clip:local-dir:{folder}"
    for _ in range(2):
        cached_fingerprint(load_vision(spec), spec)
        cached_fingerprint(load_vision("random:tiny"), "random:tiny")
    assert len(counted) == 4 and not cache_folder().exists()


def test_another_type_is_another_encoder_and_a_damaged_note_is_none(counted, folder):
    spec = f"open_clip:local-dir:{folder}"
    vision = load_vision(spec)
    expected = cached_fingerprint(vision, spec)
    (note,) = cache_folder().iterdir()
    note.write_text(expected[:40])
    assert cached_fingerprint(vision, spec) == expected and note.read_text() == expected
    assert cached_fingerprint(load_language(spec), spec) not in (expected, "")
    assert len(counted) == 3
