"""`findvl fit`, `validate`, `test` and `predict`: LightningCLI over our module and data, with our own test and
predict."""

import difflib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NoReturn

import lightning as L
import rich
from jsonargparse import ActionConfigFile, Namespace
from lightning.fabric.connector import _PRECISION_INPUT
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from rich.markdown import Markdown
from rich.text import Text

from find.cli.training_data import OF_MODEL, check_data, data_help, with_reader
from find.data.coco import AUTO
from find.errors import FindError, InputError
from find.evaluation.distributed import is_first
from find.evaluation.evaluate import evaluate
from find.evaluation.panoptic_files import write_panoptic
from find.evaluation.protocol import EvaluationProtocol
from find.evaluation.queries import EntityMode, Interleaving, RegionSource
from find.evaluation.results import comparison_table
from find.images.canvas import Resizing
from find.model.config import FINDConfig
from find.model.location import DEFAULT
from find.model.model import FIND
from find.tasks.core import load_task
from find.tasks.task import Task
from find.training.configs import find_config, in_root
from find.training.datamodule import FindDataModule
from find.training.log_filters import filtered_messages
from find.training.module import FINDModule
from find.training.run_checkpoint import check_run_checkpoint
from find.utils.device import choose_device
from find.utils.precision import FLOAT32, Precision, choose_precision

OF_ONE_RUN = ("ckpt_path", "weights_only", "optimizer", "lr_scheduler")
"""Options of `fit` that other commands lack, or that must not be saved."""


class ConfiguredModule(FINDModule):
    """Trains the interface on batches of all tasks.

    The model is built from its configuration: a command line cannot pass a built one.
    """

    def __init__(self, config: FINDConfig, **options: Any) -> None:
        """`options` are those of `FINDModule`; jsonargparse finds them in its signature."""
        super().__init__(config, model=None, **options)


class FINDTrainer(L.Trainer):
    """Lightning's trainer, whose test is the FIND-Bench protocol and whose predictions are panoptic files.

    Args:
        accelerator: cpu, cuda, mps, or auto for the best available one.
        devices: how many, which ones by their numbers, or auto.
        precision: what fit and validate compute in. auto: bf16-mixed where the processor multiplies bfloat16 faster
            than float32, 16-mixed on older GPUs with tensor cores, else 32-true; the choice is printed with its reason.
            test and predict compute in float32, so that figures depend on the processor as little as possible.
    """

    def __init__(
        self,
        *args: Any,
        accelerator: str | Accelerator = "auto",
        devices: list[int] | str | int = "auto",
        precision: Literal["auto"] | _PRECISION_INPUT | None = "auto",
        **kwargs: Any,
    ) -> None:
        self.chosen: Precision | None = None
        if precision == "auto":
            self.chosen = None if kwargs.get("plugins") else _suitable(accelerator, devices, kwargs.get("num_nodes", 1))
            precision = self.chosen and self.chosen.name
        super().__init__(*args, accelerator=accelerator, devices=devices, precision=precision, **kwargs)

    @property
    def precision_text(self) -> str:
        """The precision, and where it was chosen here, why."""
        return f"precision {self.precision}" + (f" (auto: {self.chosen.why})" if self.chosen else "")

    def test(
        self,
        model: FINDModule,
        datamodule: FindDataModule,
        weights: str | None = None,
        out: Path | None = None,
        split: str | None = None,
        tasks: str | None = None,
        protocols: list[EvaluationProtocol | str] | None = None,
        studies: str | None = None,
        limit: int | None = None,
        entities: str = AUTO,
        mode: Literal["text", "visual", "mixed"] = "mixed",
        regions: Literal["reference", "same"] = "reference",
    ) -> None:
        """Evaluates weights on all tasks and prints the table.

        Args:
            model: determines the device only; the evaluated model is that of `weights`.
            datamodule: its root and validation split are evaluated.
            weights: a shipped model, a folder written by fit, or a model of the hub; default: `model.weights`, or
                the shipped model.
            out: JSON file for the figures; a Markdown table of the same name is written beside it.
            split: another split than the validation split.
            tasks: some of them, with commas between: panoptic, grounding, interactive, retrieval,
                interleaved_segmentation, interleaved_retrieval (all of these by default), or what installed packages
                declare.
            protocols: the same as a list of names, or of class_path and init_args, for YAML.
            studies: what goes beyond the published tables, with commas between: variants (both interleaved tasks with
                every kind of query and count), probes (does the true sentence win over one made of the same units).
            limit: evaluate the first so many images only.
            entities: of COCO folders: file of annotations/ with the sentences, for example interleave_val2017; by
                default that of the split.
            mode: which entities of a sentence are shown as regions instead of named: none, all, or a seeded half.
            regions: what is shown: the segment of another image that a phrase refers to, or (the published variant)
                the target segment itself.
        """
        weights = weights or model.weights or DEFAULT
        result = evaluate(
            self._load_instead(model, weights),
            datamodule.open(split or datamodule.val_split, **({} if entities == AUTO else {"entities": entities})),
            tasks=tasks.split(",") if tasks else None,
            protocols=protocols,
            studies=studies.split(",") if studies else (),
            limit=limit,
            interleaving=Interleaving(EntityMode(mode), RegionSource(regions)),
        )
        if not is_first():  # under torchrun all processes have the figures
            return
        figures = result.to_json()
        table = comparison_table({weights: figures})
        if out is not None:
            out = Path(out)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            out.with_suffix(".md").write_text(result.to_markdown(), encoding="utf-8")
        rich.print(Markdown(f"{table}{result.studies_to_markdown()}"))
        if out is not None:
            line = f"with 95 % intervals: {out.with_suffix('.md')} (table), {out}"
            rich.get_console().print(Text(line), soft_wrap=True)
        for note in result.notes():
            rich.get_console().print(Text(f"note: {note}", style="yellow"), soft_wrap=True)

    def predict(
        self,
        model: FINDModule,
        datamodule: FindDataModule,
        weights: str | None = None,
        out: Path = Path("outputs/predict"),
        split: str | None = None,
    ) -> None:
        """Writes panoptic predictions in COCO's result format.

        Args:
            model: determines the device only; the model that predicts is that of `weights`.
            datamodule: its root and validation split are segmented.
            weights: a shipped model, a folder written by fit, or a model of the hub; default: `model.weights`, or
                the shipped model.
            out: folder for predictions.json and predictions/*.png.
            split: another split than the validation split.
        """
        if not is_first():  # under torchrun one process writes the files
            return
        found = self._load_instead(model, weights or model.weights or DEFAULT)
        print(write_panoptic(found, datamodule.open(split or datamodule.val_split), Path(out)))

    def _load_instead(self, model: FINDModule, weights: str) -> FIND:
        """Loads the model of these weights, after freeing the module's own, since foundations may fill the memory."""
        tasks = [load_task(name) for name in model.find.config.tasks if "." in name]  # what the config names is trusted
        del model.find
        if self.chosen is None and self.precision != FLOAT32 and is_first():
            line = f"note: test and predict compute in float32; precision {self.precision} is for fit and validate"
            print(line, file=sys.stderr)
        return FIND.from_pretrained(weights, device=self.strategy.root_device, tasks=tasks).eval()


def _suitable(accelerator: str | Accelerator, devices: list[int] | str | int, nodes: int) -> Precision:
    """The precision for the device that Lightning will choose."""
    if not isinstance(accelerator, str):
        return Precision(FLOAT32, f"nothing is known of {type(accelerator).__name__}")
    device = choose_device().type if accelerator in ("auto", "gpu") else accelerator
    if device == "cuda" and isinstance(devices, list) and len(devices) == 1:
        device = f"cuda:{devices[0]}"
    count = int(devices) if str(devices).isdecimal() else 1
    processes = max(int(os.environ.get("WORLD_SIZE", "1")), count * nodes)
    return choose_precision(device, processes=processes)


class ConfigByName(ActionConfigFile):
    """A YAML file, or the name of a config that ships with the package."""

    @staticmethod
    def apply_config(parser: LightningArgumentParser, config: Any, destination: str, value: str) -> None:
        ActionConfigFile.apply_config(parser, config, destination, str(find_config(value)))


class OptionParser(LightningArgumentParser):
    """Accepts no abbreviations, so that a misspelt option cannot pass for another, and suggests the closest one.

    Errors are one line, without the usage of more than a hundred lines.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"allow_abbrev": False}))

    def format_help(self) -> str:
        """With the options of our own data, which stand for those of any other."""
        return super().format_help() + (data_help() if "--data" in self._option_string_actions else "")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        unknown = re.search(r"does not accept option '([\w.]+)'|unrecognized arguments: --([\w.]+)", message)
        of_data = re.search(r"Option '(\w+)' is not accepted", message)  # which has its own parser
        if unknown or of_data:
            known = [option[2:] for option in parser._option_string_actions if option.startswith("--")]
            known += [f"data.{name}" for name in signature(FindDataModule).parameters]
            asked = f"data.{of_data[1]}" if of_data else unknown[1] or unknown[2]
            near = difflib.get_close_matches(asked, known, n=1)
            message += f"; did you mean {near[0]!r}?" if near else ""
        command = parser.prog.replace(" [options]", "")
        print(f"error: {' '.join(message.split())} ({command} --help-all lists all options)", file=sys.stderr)
        self.exit(2)


class SaveSettings(SaveConfigCallback):
    """Writes the run's config.yaml for any command, without options of `fit` only or of this single run."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        config = config.clone()
        for name in OF_ONE_RUN:
            config.pop(name, None)
        super().__init__(parser, config, **kwargs)


class FINDCLI(LightningCLI):
    """LightningCLI with our module and data; the data module gets the settings that depend on the model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """`--data` takes any data module by its class path; without one, its options are those of ours."""
        super().__init__(*args, **({"subclass_mode_data": True} | kwargs))

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = OptionParser(**kwargs)
        text = "a YAML file, or the name of one that ships with FIND, such as tiny; later options override it"
        parser.add_argument("-c", "--config", action=ConfigByName, help=text)
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name, compute in zip(OF_MODEL, (_placeholder, _divisor, _resizing, _proposals, _tasks), strict=True):
            parser.link_arguments("model", f"data.init_args.{name}", compute_fn=compute, apply_on="instantiate")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        shared = {"model", "dataloaders", "datamodule"}
        return {
            "fit": shared | {"train_dataloaders", "val_dataloaders"},
            "validate": shared,
            "test": shared,
            "predict": shared,
        }

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Rejects invalid options before anything is built.

        The parent's method would warn if the program itself was called with arguments.
        """
        self.config = parser.parse_args(args)
        options = self.config[self.config.subcommand]
        check_data(options.data)
        options.model.text_cache = in_root(options.model.text_cache, options.trainer.default_root_dir)
        checkpoint = options.get("ckpt_path")
        if self.config.subcommand == "validate" and checkpoint is None and options.model.weights is None:
            raise InputError("validate needs trained weights: give --ckpt_path or --model.weights")
        if checkpoint is not None and Path(checkpoint).suffix == ".ckpt":
            check_run_checkpoint(checkpoint)

    def before_fit(self) -> None:
        """Prints one line instead of Lightning's long summary."""
        if not self.trainer.is_global_zero:
            return
        learned = sum(weight.numel() for weight in self.model.find.interface.parameters())
        frozen = sum(weight.numel() for weight in self.model.find.parameters()) - learned
        folder = Path(self.trainer.default_root_dir)
        print(
            f"training {learned / 1e6:.1f} M weights on {frozen / 1e6:.1f} M frozen ones: "
            f"{self.trainer.strategy.root_device}, {self.trainer.precision_text}, into {folder}"
        )
        if (folder / "metrics.csv").is_file() and self.config.fit.ckpt_path is None:
            print(f"the results of an earlier run in {folder} are replaced; --trainer.default_root_dir keeps both")

    def after_fit(self) -> None:
        if self.trainer.is_global_zero and self.model.early_end:
            print(f"{self.model.early_end}: the {self.model.minutes:g} minutes of --model.minutes were over")

    def before_validate(self) -> None:
        if self.trainer.is_global_zero:
            print(f"{self.trainer.strategy.root_device}, {self.trainer.precision_text}")


def _placeholder(model: FINDModule) -> str:
    return model.find.language.placeholder


def _divisor(model: FINDModule) -> int:
    return model.find.vision.divisor


def _resizing(model: FINDModule) -> Resizing:
    return model.find.resizing


def _tasks(model: FINDModule) -> list[Task]:
    return list(model.find.tasks.values())


def _proposals(model: FINDModule) -> int:
    return model.find.config.interface.queries - 1  # the last query is the image's


@contextmanager
def _original_errors() -> Iterator[None]:
    """Shows users the original messages of our classes, not jsonargparse's wrapped ones."""
    try:
        yield
    except ValueError as error:
        causes: list[BaseException] = [error]
        while (before := causes[-1].__cause__ or causes[-1].__context__) is not None and before not in causes:
            causes.append(before)
        said = next((cause for cause in causes if isinstance(cause, FindError)), None)
        if said is None or said is error:
            raise
        raise said from None


def main(arguments: Sequence[str]) -> FINDCLI:
    """Runs `findvl fit|validate|test|predict ...` with these arguments (the command first)."""
    with filtered_messages(), _original_errors():
        return FINDCLI(
            ConfiguredModule,
            FindDataModule,
            trainer_class=FINDTrainer,
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=0,
            save_config_callback=SaveSettings,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "findvl"},
            args=with_reader(arguments),
        )
