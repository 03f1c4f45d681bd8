"""Baselines for FIND-Bench's protocols, one file per library; loaded by a spec PREFIX:NAME."""

from __future__ import annotations

from typing import Any

import torch

from find.errors import InputError

PREFIXES = (
    "frozen-pair",
    "open_clip",
    "siglip2",
    "qwen-vl",
    "clipseg",
    "grounding-dino+sam",
    "sam3",
    "mask2former",
    "eomt",
)


def load_baseline(prefix: str, name: str, *, device: torch.device) -> Any:
    """Loads the baseline PREFIX:NAME; NAME is a folder, a model on the hub, or one at a revision (name@commit).

    - `open_clip:ARCHITECTURE/PRETRAINED`, `siglip2:NAME`: dual encoders for the retrieval tasks
    - `qwen-vl:NAME`: a vision-language model as an embedder, for the retrieval tasks
    - `clipseg:NAME`, `grounding-dino+sam:DETECTOR+SEGMENTER`, `sam3:NAME`: grounding, interleaved segmentation
    - `mask2former:NAME`, `eomt:NAME`: panoptic, instance and semantic segmentation
    - `frozen-pair:MODEL`: the foundations of a FIND model without its interface

    Raises:
        FindError: the prefix is unknown, the name is missing, or the model cannot be loaded.
    """
    if not name:
        raise InputError(f"{prefix}: which one? Give a folder or a name on the hub after the colon, {prefix}:NAME")
    if prefix == "frozen-pair":
        from find.evaluation.systems.frozen_pair import load_frozen_pair

        return load_frozen_pair(name, device=device)
    if prefix == "open_clip":
        from find.evaluation.systems.open_clip import load_open_clip

        return load_open_clip(name, device=device)
    if prefix == "siglip2":
        from find.evaluation.systems.siglip2 import load_siglip2

        return load_siglip2(name, device=device)
    if prefix == "qwen-vl":
        from find.evaluation.systems.qwen_vl import load_qwen_vl

        return load_qwen_vl(name, device=device)
    if prefix == "clipseg":
        from find.evaluation.systems.clipseg import load_clipseg

        return load_clipseg(name, device=device)
    if prefix == "grounding-dino+sam":
        from find.evaluation.systems.grounding_dino_sam import load_grounding_dino_sam

        return load_grounding_dino_sam(name, device=device)
    if prefix == "sam3":
        from find.evaluation.systems.sam3 import load_sam3

        return load_sam3(name, device=device)
    if prefix in ("mask2former", "eomt"):
        from find.evaluation.systems.mask_classification import load_universal

        return load_universal(name, prefix=prefix, device=device)
    raise InputError(f"there is no baseline {prefix!r}; there are {', '.join(PREFIXES)}")
