"""Models on the Hugging Face hub, by the names that its library gives them; that library is imported to upload only."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from find.errors import InputError

CARD = """\
---
library_name: find
tags:
- interleaved-embeddings
---

An interface of [FIND](https://arxiv.org/abs/2312.07532) over frozen vision and language encoders, which `config.json`
names.

```python
from find import FIND

model = FIND.from_pretrained("{name}")
```
"""


class HubModel:
    """The methods `save_pretrained` and `push_to_hub` of a model that has `_save_pretrained`."""

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the model's files."""
        raise NotImplementedError

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **options: Any,
    ) -> str | None:
        """Saves the model in a folder, with a model card (README.md) where there is none.

        Args:
            push_to_hub: upload it, too, as `repo_id` or under the folder's name; its address is returned then.
            options: of `push_to_hub`.
        """
        if options and not push_to_hub:
            raise InputError(f"save_pretrained has no argument {next(iter(options))!r} without push_to_hub=True")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self._save_pretrained(folder)
        name = repo_id or folder.resolve().name
        if not (folder / "README.md").exists():
            (folder / "README.md").write_text(CARD.replace("{name}", name), encoding="utf-8")
        return self.push_to_hub(name, **options) if push_to_hub else None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push model",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        **upload: Any,
    ) -> str:
        """Uploads the model; returns the commit's address.

        Args:
            repo_id: "user/model".
            private: of a repository that is made anew.
            token: of the hub; by default that of `hf auth login`.
            branch: by default main.
            upload: options of `huggingface_hub.HfApi.upload_folder`, such as create_pr.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        name = api.create_repo(repo_id=repo_id, private=private, exist_ok=True).repo_id
        with TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / name)
            return str(
                api.upload_folder(
                    repo_id=name,
                    repo_type="model",
                    folder_path=Path(folder) / name,
                    commit_message=commit_message,
                    revision=branch,
                    **upload,
                )
            )
