"""Claims about `findvl shell`: the answers of `findvl search`, a query a line, and no error ends it."""

import io
import json

import pytest

from find.cli.main import main
from find.world import generate_world


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell")
    generate_world(folder, images=1, val_images=6, seed=3, workers=1, progress=False)
    assert main(["index", str(folder / "val2017"), str(folder / "my.album")]) == 0
    return str(folder / "my.album")


def _shell(monkeypatch, capsys, album, text, *options):
    """Status, standard output and errors of a shell with this input."""
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    status = main(["shell", album, *options])
    reported = capsys.readouterr()
    return status, reported.out, reported.err


def test_it_answers_as_search_does(monkeypatch, capsys, album):
    queries = ["{a dog} on the grass", "a quiet street"]
    capsys.readouterr()
    for query in queries:
        assert main(["search", album, "--query", query, "-k", "3"]) == 0
    expected = capsys.readouterr().out
    status, answers, _ = _shell(monkeypatch, capsys, album, "\n".join(queries) + "\n\n", "-k", "3")
    assert status == 0 and answers == expected


def test_a_line_of_json_for_each_query_and_errors_do_not_end_it(monkeypatch, capsys, album):
    lines = [
        "{a dog}",
        "{a dog",
        ":k 2",
        "{a dog}",
        ":where widht > 1",
        ":where width < 1",
        "{a dog}",
        ":quit",
        "{a cat}",
    ]
    status, answers, _ = _shell(monkeypatch, capsys, album, "\n".join(lines), "--json")
    records = [json.loads(line) for line in answers.splitlines()]
    assert status == 1
    assert ["error" in record for record in records] == [False, True, False, True, False]
    assert [len(records[number]["hits"]) for number in (0, 2, 4)] == [6, 2, 0]
    assert "never closed" in records[1]["error"] and "no column widht" in records[3]["error"]
    assert records[2]["hits"] == records[0]["hits"][:2]
    best = records[0]["hits"][0]
    (dog,) = best["entities"]
    assert dog["text"] == "a dog" and dog["term"] == best["score"]
    x0, y0, x1, y1 = dog["box"]
    assert 0 <= x0 < x1 and 0 <= y0 < y1


def test_commands_change_what_is_asked(monkeypatch, capsys, album):
    _, answers, _ = _shell(monkeypatch, capsys, album, ":k 1\n:explain\n{a dog}\n:explain\n{a dog}\n")
    explained, line = answers.splitlines()[1:-1], answers.splitlines()[-1]
    assert explained and line == answers.splitlines()[0]
    status, answers, errors = _shell(monkeypatch, capsys, album, ":kk 1\n:k none\n{a dog}\n", "-k", "1")
    assert status == 1 and answers.count("\n") == 1
    assert "there is no command :kk" in errors and ":k none" in errors
