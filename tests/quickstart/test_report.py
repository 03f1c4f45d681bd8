"""Claims about the report: one file that needs no other, and shows what it was given."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from find.evaluation.results import METRICS, PUBLISHED_TASKS
from find.evaluation.table import only_table, rich_table
from find.query.query import Phrase, Query, Region
from find.quickstart.report import Answer, Example, Report, query_parts, write_report

QUERY = Query("a ", Phrase("<b>red</b> dog"), " near ", Region(np.zeros((9, 9, 3), np.uint8), box=(2, 2, 6, 6)), ".")


def _answer(rank, is_correct):
    picture = Image.new("RGB", (40, 30), (200, 30 * rank % 255, 0))
    return Answer(picture, f"{rank}.jpg", rank, 1.0, 0.6, (0.9, 0.7), is_correct)


@pytest.fixture
def page(tmp_path):
    columns = {
        "untrained": only_table({"panoptic": {"PQ": 1.25}}),
        "shipped": only_table({"panoptic": {"PQ": 80.5}, "interactive": {"NoC@85": 3.5}}),
    }
    missed = Example(QUERY, [_answer(rank, False) for rank in range(1, 6)], missed=_answer(17, True))
    found = Example(QUERY, [_answer(rank, rank == 2) for rank in range(1, 6)])
    report = Report(
        headline="FIND & friends",
        facts=["500 images"],
        columns=columns,
        examples=[missed, found],
        pictures={"Losses": Image.new("RGB", (30, 20))},
        notes=["stopped at step 120 of 400 <cap>"],
        seconds={"training": 12.34},
    )
    return write_report(report, tmp_path / "deep" / "report.html").read_text()


def test_the_page_loads_nothing(page):
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page and "url(" not in page and "@import" not in page


def test_what_has_to_be_known_of_the_figures_stands_under_them(page):
    assert "stopped at step 120 of 400 &lt;cap&gt;" in page
    assert page.index("</table>") < page.index("stopped at step") < page.index("Interleaved queries")


def test_right_and_wrong_answers_are_marked(page):
    assert page.count('<figure class="right"') == 1
    assert page.count('<figure class="right missed"') == 1
    assert len(re.findall("<figure", page)) == 11
    assert "17. right" in page


def test_words_of_queries_are_text_and_never_markup(page):
    assert "&lt;b&gt;red&lt;/b&gt; dog" in page and "<b>red" not in page
    assert "FIND &amp; friends" in page


def test_figures_stand_in_the_table_and_unknown_ones_are_dashes(page):
    assert "80.5" in page and "1.2" in page and "3.5" in page
    dashes = len(re.findall(r"<td[^>]*>–</td>", page))
    assert dashes == 2 * sum(map(len, METRICS.values())) - 3


def test_regions_are_thumbnails_and_phrases_have_the_colours_of_their_masks():
    parts = query_parts(QUERY)
    assert "".join(part.text for part in parts if part.thumbnail is None) == "a <b>red</b> dog near ."
    phrase, region = parts[1], parts[3]
    assert phrase.color and region.color and phrase.color != region.color
    assert region.thumbnail.startswith("data:image/")


def test_a_column_of_nothing_has_all_keys():
    empty = only_table(None)
    assert {task: tuple(metrics) for task, metrics in empty.items()} == dict(METRICS)
    assert {value for metrics in empty.values() for value in metrics.values()} == {None}


def test_more_percent_is_better_and_fewer_clicks_are():
    metrics = {metric.name: metric for task in PUBLISHED_TASKS.values() for metric in task.metrics}
    assert metrics["PQ"].best([1.0, None, 3.0]) == 3.0
    assert metrics["NoC@85"].best([1.0, None, 3.0]) == 1.0
    assert metrics["PQ"].best([None, 3.0]) is None
    assert metrics["PQ"].best([3.0, 3.0]) is None


def test_the_terminal_table_has_a_row_for_every_metric():
    table = rich_table({"shipped": only_table({"panoptic": {"PQ": 80.5}})})
    assert table.row_count == sum(map(len, METRICS.values()))


def test_eighty_columns_cut_no_figure_and_no_head():
    names = ("untrained", "trained", "shipped", "clip")
    figures = {task: dict.fromkeys(metrics, 100.0) for task, metrics in METRICS.items()}
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table({name: only_table(figures) for name in names}))
    printed = console.file.getvalue()
    assert "…" not in printed and all(name in printed for name in names)
    assert printed.count("100.0") == len(names) * sum(map(len, METRICS.values()))
