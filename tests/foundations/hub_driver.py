"""Run in a process of its own, whose environment names the hub: loads what it is told to and prints what came of it."""

from __future__ import annotations

import json
import os
import sys
import traceback

import torch

from find.errors import FindError
from find.foundations import fingerprint, load_language, load_vision
from find.model.model import FIND


def load(kind: str, name: str, token: str | None = None) -> dict[str, str]:
    """The spec and fingerprint of what was loaded, or the message."""
    os.environ.pop("HF_TOKEN", None)
    if token is not None:
        os.environ["HF_TOKEN"] = token
    try:
        if kind == "model":
            name, _, revision = name.partition("@")
            model = FIND.from_pretrained(name, **({"revision": revision} if revision else {}))
            parts = {"vision": model.config.vision, "language": model.config.language}
            return {"spec": json.dumps(parts), "fingerprint": model.fingerprint}
        encoder = (load_vision if kind == "vision" else load_language)(name)
        return {"spec": encoder.spec, "fingerprint": fingerprint(encoder)}
    except FindError as error:
        return {"error": str(error)}
    except Exception:
        return {"traceback": traceback.format_exc()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in json.loads(sys.argv[1]):
        print("RESULT " + json.dumps(load(*wanted)), flush=True)
