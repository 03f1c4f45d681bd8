"""Panoptic predictions as COCO's result format: a JSON and a folder of PNG files (id = R + 256 G + 65536 B)."""

import json
from pathlib import Path

from find.data.data_split import DataSplit
from find.data.decode import segment_png
from find.model.model import FIND
from find.utils.progress import track


def write_panoptic(model: FIND, folder: DataSplit, out: Path, *, batch_size: int = 16, progress: bool = True) -> Path:
    """Segments every image of the folder into its categories.

    Writes `out/predictions.json` and `out/predictions/<image>.png`; returns the path of the JSON.
    """
    pictures = out / "predictions"
    pictures.mkdir(parents=True, exist_ok=True)
    names = [category.words for category in folder.categories]
    things = [category.is_thing for category in folder.categories]
    annotations = []
    starts = range(0, len(folder), batch_size)
    for start in track(starts, "segmenting", shown=progress):
        samples = [folder[k] for k in range(start, min(start + batch_size, len(folder)))]
        found = model.panoptic([sample.image for sample in samples], names, things)
        for sample, prediction in zip(samples, found, strict=True):
            name = f"{Path(sample.file_name).stem}.png"
            segment_png(prediction.segment_map).save(pictures / name)
            segments = [
                {"id": segment.id, "category_id": folder.categories[segment.label].id, "score": round(segment.score, 4)}
                for segment in prediction.segments
            ]
            annotations.append({"image_id": sample.image_id, "file_name": name, "segments_info": segments})
    file = out / "predictions.json"
    file.write_text(json.dumps({"annotations": annotations}) + "\n", encoding="utf-8")
    return file
