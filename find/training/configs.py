"""The YAML configs that ship with FIND, found by name in a clone and in an installed package."""

from pathlib import Path

import find
from find.errors import InputError

ROOT = "{default_root_dir}"
"""In a config's `model.text_cache` it stands for `trainer.default_root_dir`, the folder of all that the run writes."""
PACKAGE = Path(find.__file__).parent


def config_folder() -> Path:
    """In a wheel the configs lie inside the package, in a clone beside it."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def config_names() -> list[str]:
    """Of the shipped configs, such as "tiny" and "official/find_focalt_llama"."""
    folder = config_folder()
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def find_config(name: str) -> Path:
    """The file of that path, else the shipped config of that name; "configs/" and ".yaml" may be left out.

    Raises:
        FindError: neither is there; names the shipped ones.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = name.removeprefix("configs/").removesuffix(".yaml")
    if shipped in config_names():
        return config_folder() / f"{shipped}.yaml"
    raise InputError(f"{name}: there is no such config file; those that ship with FIND are {', '.join(config_names())}")


def in_root(folder: str | None, root: str | Path | None) -> str | None:
    """The folder of a config with the run's folder filled in."""
    return folder if folder is None else folder.replace(ROOT, str(root or "."))
