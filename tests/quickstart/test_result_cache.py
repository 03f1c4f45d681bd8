"""Claims about what a second run may take from the first."""

from find.quickstart.result_cache import ResultCache, source_key


def test_a_record_is_found_under_its_key_only(tmp_path):
    kept = ResultCache(tmp_path / "kept")
    assert kept.get("shipped", "a") is None
    kept.keep("shipped", "a", {"PQ": 1.5, "AP": None})
    assert ResultCache(tmp_path / "kept").get("shipped", "a") == {"PQ": 1.5, "AP": None}
    assert kept.get("shipped", "b") is None
    assert kept.get("clip", "a") is None


def test_a_half_written_record_does_not_count(tmp_path):
    kept = ResultCache(tmp_path)
    kept.keep("shipped", "a", {"PQ": 1.5})
    file = tmp_path / "shipped.json"
    file.write_text(file.read_text()[:-9])
    assert kept.get("shipped", "a") is None


def test_keys_change_with_their_causes():
    assert source_key("world", 6.0) == source_key("world", 6.0)
    assert source_key("world", 6.0) != source_key("world", 7.0)
    assert source_key("world", folder="data/world") != source_key("world")
