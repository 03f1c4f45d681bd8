"""FIND in Gradio: segment by clicks, words or classes, find all alike, search an album. README.md has its settings."""

from __future__ import annotations

import os
import tempfile

import gradio as gr
import numpy as np

from find import FIND, Album, EntityMask, FindError, Query, Region
from find.world import generate_world

MODEL = FIND.from_pretrained(os.environ.get("FIND_WEIGHTS", "find-tiny")).eval()
Found = tuple[np.ndarray, list[tuple[np.ndarray, str]]]
Marks = list[tuple[str, tuple[int, int]]]
HOME = tempfile.mkdtemp()
PHOTOS = os.environ.get("FIND_PHOTOS") or generate_world(f"{HOME}/world", images=1, val_images=24, seed=5) / "val2017"
ALBUM = Album.build(MODEL, PHOTOS, f"{HOME}/space.album")


def picture_or_error(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise gr.Error("choose or upload a picture first")
    return image


def read_query(text: str) -> Query:
    """Text of strangers; a region would have files of this machine read."""
    try:
        query = Query.parse(text)
        if any(isinstance(entity, Region) for entity in query.entities):
            raise gr.Error("Regions are not accepted in text; click in the picture instead.")
        return query if query.entities else Query.from_text(MODEL, text)
    except FindError as error:
        raise gr.Error(str(error)) from error


def overlays(image: np.ndarray, masks: list[EntityMask], names: list[str]) -> Found:
    return image, [(m.mask, f"{name} {m.score:.2f}") for m, name in zip(masks, names, strict=True) if m.mask.any()]


def marked(image: np.ndarray | None, marks: Marks, kind: str) -> Region | None:
    points = tuple(point for this, point in marks if this == kind)
    if kind == "object" and not points:
        raise gr.Error("click an object first")
    return Region(image, points=points) if points else None


def click(image: np.ndarray, kind: str, marks: Marks, event: gr.SelectData) -> tuple[Found, Marks]:
    marks = [*marks, (kind, tuple(event.index))]
    found = MODEL.interact(image, marked(image, marks, "object"), marked(image, marks, "not it"))
    return overlays(image, [found], ["selected"]), marks


def find_all(image: np.ndarray | None, marks: Marks, least: float) -> Found:
    masks = MODEL.find_all(picture_or_error(image), marked(image, marks, "object"), threshold=least)
    return overlays(image, masks, ["alike"] * len(masks))


def segment(image: np.ndarray | None, text: str) -> Found:
    image, query = picture_or_error(image), read_query(text)
    if not query.entities:
        raise gr.Error("No thing was found in these words; put braces around one: {a red dog}")
    return overlays(image, MODEL.segment(image, query), list(query.entity_names))


def divide(image: np.ndarray | None, text: str) -> Found:
    names = [name.strip() for name in text.split(",") if name.strip()] or None
    found = MODEL.panoptic(picture_or_error(image), names)
    return image, [(found.segment_map == one.id, f"{one.name} {one.score:.2f}") for one in found.segments]


def search(text: str) -> list[tuple[np.ndarray, str]]:
    return [(np.asarray(hit.draw()), f"{hit.score:.3f} {hit.name}") for hit in ALBUM.search(read_query(text), 12)]


with gr.Blocks(title="FIND") as demo, gr.Tab("Segment"):
    with gr.Row():
        shown = gr.Image(label="Click an object", type="numpy", value=str(ALBUM.paths[0]), elem_id="picture")
        result = gr.AnnotatedImage(label="Found", elem_id="found")
    kind = gr.Radio(["object", "not it"], value="object", label="Clicks mark", elem_id="kind")
    words = gr.Textbox(label="Or in words", placeholder="a red dog next to a car", elem_id="words")
    classes = gr.Textbox(label="Or everything", placeholder="dog, car, grass (empty: as trained)", elem_id="classes")
    least = gr.Slider(0, 1, 0.5, label="Minimum match")
    alike = gr.Button("Find all like the clicked object", elem_id="alike")
    place = gr.State([])
    gr.Examples([[str(path)] for path in ALBUM.paths[:6]], shown)
    shown.select(click, [shown, kind, place], [result, place])
    shown.change(lambda: (None, []), None, [result, place])
    words.submit(segment, [shown, words], result)
    classes.submit(divide, [shown, classes], result)
    alike.click(find_all, [shown, place, least], result)
with demo, gr.Tab("Search"):
    asked = gr.Textbox(label="Query", placeholder="a red dog left of a car", elem_id="query")
    gallery = gr.Gallery(label="Hits", columns=4, elem_id="hits")
    asked.submit(search, asked, gallery)

if __name__ == "__main__":
    demo.launch(allowed_paths=[str(ALBUM.root)])
