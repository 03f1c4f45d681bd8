"""Run in a process of its own, whose environment names the hub: one request a line, in JSON, and one answer.

The published table is replaced by the one that the first line gives: the files are small, all else is as it is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback

import torch

from find.errors import FindError
from find.integrations.official import fetching
from find.integrations.official.published import Unwritten
from find.integrations.official.releases import Release
from find.model.model import FIND


def answer(name: str, *, free: int | None = None, environment: dict[str, str] | None = None, **options) -> dict:
    """What became of one `from_pretrained`, or, with `free` bytes on the disk, of what it calls."""
    os.environ.update(environment or {})
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            if free is not None:
                fetching.fetch_published(name.partition("/")[2], free_space=lambda _: free, **options)
                return {}
            model = FIND.from_pretrained(name, **options)
        mask = model.segment(torch.zeros(3, 40, 64, dtype=torch.uint8).permute(1, 2, 0).numpy(), "{a dog}")[0].mask
        return {
            "language": model.config.language,
            "fingerprint": model.fingerprint,
            "folder": str(model.folder),
            "classes": len(model.known_classes),
            "mask": list(mask.shape),
            "said": said.getvalue(),
        }
    except FindError as error:
        return {"error": str(error), "said": said.getvalue()}
    except Exception:
        return {"traceback": traceback.format_exc()}
    finally:
        for variable in environment or {}:
            os.environ.pop(variable)


def main() -> None:
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    releases = json.loads(sys.stdin.readline())
    fetching.RELEASES.clear()
    for name, facts in releases.items():
        fetching.RELEASES[name] = Release(**facts | {"unwritten": Unwritten(**facts["unwritten"])})
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
