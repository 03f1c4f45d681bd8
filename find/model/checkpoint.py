"""A trained interface on disk: `config.json` and `interface.safetensors`; the frozen foundations stay references.

`classes.safetensors`, where there is one, holds embeddings of class names that need not be computed again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from find.errors import CheckpointError, printable
from find.model.class_sets import ClassSet
from find.model.config import FINDConfig
from find.model.location import (
    CLASSES,
    CONFIG,
    NESTED_WIDTHS,
    TRAINED_CLASSES,
    WEIGHTS,
    check_file,
    read_nested_widths,
)
from find.utils.files import write_tensors

FORMAT = 1
ALLOWANCE = 100_000_000
"""How far the number of parameters may fall below what config.json implies before it is an error; shapes are compared
later."""


@dataclass(frozen=True)
class Checkpoint:
    """Raises FindError wherever the files do not fit together."""

    config: FINDConfig
    foundations: dict[str, str]  # fingerprints of "vision" and "language", as the interface was trained on
    interface: dict[str, Tensor]
    source: str
    classes: dict[str, Tensor] = field(default_factory=dict)
    nested_widths: tuple[int, ...] | None = None  # that vectors may be truncated to; None if unknown
    trained_classes: ClassSet | None = None  # of the training data; None if unknown

    def write(self, folder: Path) -> None:
        """Weights are written first, so that a folder with a config is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS, self.interface, {"format": "pt"})
        if self.classes:
            write_tensors(folder / CLASSES, {name: row.clone() for name, row in self.classes.items()})
        else:
            (folder / CLASSES).unlink(missing_ok=True)  # an earlier model's
        about = {"format": FORMAT, **self.config.to_dict(), "foundations": self.foundations}
        if self.nested_widths is not None:
            about[NESTED_WIDTHS] = list(self.nested_widths)
        if self.trained_classes is not None:
            about[TRAINED_CLASSES] = self.trained_classes.to_json()
        (folder / CONFIG).write_text(json.dumps(about, indent=2) + "\n")

    @classmethod
    def read(cls, config_file: Path, weights_file: Path) -> "Checkpoint":
        for file in (config_file, weights_file):
            check_file(file)
        try:
            about = json.loads(config_file.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:  # of the decoding or of the JSON
            raise CheckpointError(f"{config_file} is not JSON ({error}); fetch the model again") from None
        if not isinstance(about, dict):
            raise CheckpointError(f"{config_file} is not a JSON object of settings; fetch the model again")
        if about.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{config_file} is not of this version's format {FORMAT}; update the package or the model"
            )
        foundations = about.pop("foundations", {})
        if not isinstance(foundations, dict):
            raise CheckpointError(f"{config_file}: foundations is not a table of fingerprints; fetch the model again")
        nested_widths = read_nested_widths(about, str(config_file))
        about.pop(NESTED_WIDTHS, None)
        trained = about.pop(TRAINED_CLASSES, None)
        trained_classes = None if trained is None else ClassSet.from_json(trained, f"{config_file}: {TRAINED_CLASSES}")
        config = FINDConfig.from_dict(about, source=str(config_file))
        classes_file = config_file.parent / CLASSES
        classes = _read(classes_file) if classes_file.is_file() else {}
        weights = _read(weights_file)
        found = cls(config, foundations, weights, str(weights_file), classes, nested_widths, trained_classes)
        found.check_numbers()
        return found

    def check_numbers(self) -> None:
        """Rejects weights that cannot belong to the config with any foundations, before they take memory."""
        sizes, held = self.config.interface, sum(tensor.numel() for tensor in self.interface.values())
        stack = sizes.layers * sizes.width * (4 * sizes.width + 2 * sizes.feedforward)
        decoder = sizes.decoder_layers * sizes.decoder_width * (4 * sizes.decoder_width + 2 * sizes.feedforward)
        rest = sizes.width * (
            sizes.queries + sizes.semantic_width + sizes.mask_width + self.config.conventions.memories
        )
        if stack + decoder + rest > 2 * held + ALLOWANCE:
            raise CheckpointError(
                f"{self.source} does not fit its config.json: it holds {held} numbers, and an interface of those sizes "
                f"has more than {stack + decoder + rest}"
            )
        for name, tensor in self.interface.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise CheckpointError(f"{self.source}: {name} holds NaN or infinity; fetch or train the model again")
        for name, row in self.classes.items():
            if row.shape != (sizes.semantic_width,) or not row.is_floating_point() or not row.isfinite().all():
                raise CheckpointError(
                    f"{CLASSES} beside {self.source}: the embedding of {name!r:.40} is {row.dtype} {list(row.shape)}, "
                    f"or not finite; it must be {sizes.semantic_width} numbers. Take the file out, or save it again"
                )

    def check_foundations(self, **present: str) -> None:
        """Refuses foundations other than those that the interface was trained on."""
        for kind, fingerprint in present.items():
            wanted = self.foundations.get(kind)
            if wanted != fingerprint:
                spec = getattr(self.config, kind)
                raise CheckpointError(
                    f"{self.source} was made for another {kind} encoder than {spec!r} is here (fingerprint "
                    f"{printable(str(wanted)[:12])}, here {fingerprint[:12]}); use the one that it was trained on, or "
                    "train anew"
                )

    def load_into(self, interface: nn.Module, *, untrained: tuple[str, ...] = ()) -> None:
        """Strict: every key used, every parameter given, every shape equal; what begins with one of `untrained` stays
        as it is."""
        own = {name: tensor for name, tensor in interface.state_dict().items() if not name.startswith(untrained)}
        missing, unused = sorted(own.keys() - self.interface.keys()), sorted(self.interface.keys() - own.keys())
        wrong = [
            f"{name} is {tuple(given.shape)}, must be {tuple(tensor.shape)}"
            if given.shape != tensor.shape
            else f"{name} is of {given.dtype}, must be of {tensor.dtype}"
            for name, tensor in own.items()
            if (given := self.interface.get(name)) is not None
            and (given.shape != tensor.shape or given.is_floating_point() != tensor.is_floating_point())
        ]
        problems = [f"missing {name}" for name in missing] + [f"unused {name}" for name in unused] + wrong
        if problems:
            shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
            raise CheckpointError(f"{self.source} does not fit its config.json: {shown}")
        interface.load_state_dict(self.interface, strict=not untrained)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} is broken or truncated ({error}); fetch or save the model again") from None
