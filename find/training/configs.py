"""The YAML configs that ship with FIND, found by name in a clone and in an installed package."""

from pathlib import Path

import find
from find.errors import InputError

ROOT = "{default_root_dir}"
"""Placeholder in a config's `model.text_cache` for `trainer.default_root_dir`, the output folder of the run."""
PACKAGE = Path(find.__file__).parent


def config_folder() -> Path:
    """The folder of configs: inside the package in a wheel, beside it in a clone."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def config_names() -> list[str]:
    """Names of the shipped configs, such as "tiny" and "official/find_focalt_llama"."""
    folder = config_folder()
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def find_config(name: str) -> Path:
    """The file at that path, otherwise the shipped config of that name; "configs/" and ".yaml" may be omitted.

    Raises:
        FindError: neither exists; lists the shipped ones.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = name.removeprefix("configs/").removesuffix(".yaml")
    if shipped in config_names():
        return config_folder() / f"{shipped}.yaml"
    raise InputError(f"{name}: there is no such config file; FIND ships {', '.join(config_names())}")


def in_root(folder: str | None, root: str | Path | None) -> str | None:
    """A config's folder with the placeholder replaced by the run's folder."""
    return folder if folder is None else folder.replace(ROOT, str(root or "."))
