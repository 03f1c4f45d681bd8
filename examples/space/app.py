"""FIND in Gradio: segment by a click or words, find all alike, search an album. See README.md for its two settings."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import gradio as gr
import numpy as np

from find import FIND, Album, EntityMask, FindError, Query, Region

MODEL = FIND.from_pretrained(os.environ.get("FIND_WEIGHTS", "find-tiny")).eval()
Found = tuple[np.ndarray, list[tuple[np.ndarray, str]]]


def photos() -> Path:
    """The folder to search; drawn scenes by default."""
    if "FIND_PHOTOS" in os.environ:
        return Path(os.environ["FIND_PHOTOS"])
    from find.world import generate_world

    return generate_world(Path(tempfile.mkdtemp()) / "world", images=1, val_images=24, seed=5) / "val2017"


ALBUM = Album.build(MODEL, photos(), Path(tempfile.mkdtemp()) / "space.album")


def picture_or_error(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise gr.Error("choose or upload a picture first")
    return image


def read_query(text: str) -> Query:
    """Text of strangers; a region would have files of this machine read."""
    query = Query.parse(text)
    if any(isinstance(entity, Region) for entity in query.entities):
        raise gr.Error("Regions are not accepted in text; click in the picture instead.")
    return query if query.entities else Query.from_text(MODEL, text)


def overlays(image: np.ndarray, masks: list[EntityMask], names: list[str]) -> Found:
    """What gr.AnnotatedImage shows: one entry for each thing."""
    return image, [(m.mask, f"{name} {m.score:.2f}") for m, name in zip(masks, names, strict=True) if m.mask.any()]


def click(image: np.ndarray, event: gr.SelectData) -> tuple[Found, list[int]]:
    return overlays(image, [MODEL.interact(image, tuple(event.index))], ["selected"]), list(event.index)


def segment(image: np.ndarray | None, text: str) -> Found:
    image = picture_or_error(image)
    try:
        query = read_query(text)
        return overlays(image, MODEL.segment(image, query), list(query.entity_names))
    except FindError as error:
        raise gr.Error(str(error)) from error


def find_all(image: np.ndarray | None, point: list[int] | None, least: float) -> Found:
    image = picture_or_error(image)
    if point is None:
        raise gr.Error("click an object first; all objects like it are found then")
    masks = MODEL.find_all(image, Region(image, points=tuple(point)), threshold=least)
    return overlays(image, masks, ["alike"] * len(masks))


def search(text: str) -> list[tuple[np.ndarray, str]]:
    try:
        hits = ALBUM.search(read_query(text), 12)
    except FindError as error:
        raise gr.Error(str(error)) from error
    return [(np.asarray(hit.draw()), f"{hit.score:.3f} {hit.name}") for hit in hits]


with gr.Blocks(title="FIND") as demo:
    gr.Markdown("# FIND\nSegment and search by words, clicks and examples.")
    with gr.Tab("Segment"):
        with gr.Row():
            shown = gr.Image(label="Click an object", type="numpy", value=str(ALBUM.paths[0]), elem_id="picture")
            result = gr.AnnotatedImage(label="Found", elem_id="found")
        words = gr.Textbox(label="Or in words", placeholder="a red dog next to a car", elem_id="words")
        with gr.Row():
            least = gr.Slider(0, 1, 0.5, label="Minimum match")
            alike = gr.Button("Find all like the clicked object", elem_id="alike")
        place = gr.State(None)
        gr.Examples([[str(path)] for path in ALBUM.paths[:6]], shown)
        shown.select(click, shown, [result, place])
        shown.change(lambda: (None, None), None, [result, place])
        words.submit(segment, [shown, words], result)
        alike.click(find_all, [shown, place, least], result)
    with gr.Tab("Search"):
        asked = gr.Textbox(label="Query", placeholder="a red dog left of a car", elem_id="query")
        gallery = gr.Gallery(label="Hits", columns=4, elem_id="hits")
        asked.submit(search, asked, gallery)

if __name__ == "__main__":
    demo.launch(allowed_paths=[str(ALBUM.root)])
