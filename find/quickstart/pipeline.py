"""The main job, end to end: world, training, evaluation, album, interleaved queries, report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console

from find.data.coco import CocoFolder
from find.errors import FindError, InputError
from find.evaluation.evaluate import evaluate
from find.evaluation.results import Evaluation
from find.evaluation.systems.frozen_foundations import FrozenPair, evaluate_pair
from find.evaluation.table import Metrics, only_table, rich_table
from find.foundations import fingerprint
from find.model.feature_cache import FeatureCache
from find.model.model import FIND
from find.quickstart.examples import answer_questions, draw_questions
from find.quickstart.notes import notes
from find.quickstart.report import Report, write_report
from find.quickstart.result_cache import ResultCache, source_key
from find.quickstart.training import TrainingRecord, train
from find.retrieval.album import Album
from find.training.configs import find_config
from find.utils.device import choose_device
from find.world import contact_sheet, generate_world

CONFIG = "tiny"
SPLIT = "val2017"
CLICKED_IMAGES, UNTRAINED_CLICKED_IMAGES = 20, 5
"""Images for the number of clicks; the untrained model needs all clicks on any, which takes the longest of all."""
KEPT_FEATURES = 1 << 30
"""Bytes of encoded images that an evaluation keeps for its tasks: of the val split each takes 1.4 MB."""


@dataclass(frozen=True)
class DemoSettings:
    """What the main job does.

    out: folder of the report; worlds are cached beside it.
    steps: of training.
    minutes: after which the training stops wherever it is; None: when its steps are done.
    skip_training: show the shipped weights only.
    train_images, val_images, size, seed: of the synthetic world; the shipped weights were trained on other seeds.
    queries: shown in the report.
    device: as `choose_device` takes it.
    """

    out: Path = Path("outputs/demo")
    steps: int = 300
    minutes: float | None = None
    skip_training: bool = False
    train_images: int = 4800
    val_images: int = 300
    size: int = 160
    seed: int = 2026
    queries: int = 8
    device: str = "auto"

    def __post_init__(self) -> None:
        for option, number in (("steps", self.steps), ("images", self.train_images), ("val-images", self.val_images)):
            if number < 1:
                raise InputError(f"--{option} {number}: give at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes {self.minutes:g}: give more than 0, or leave it out to do all steps")


class Demo:
    """One run of the main job.

    Args:
        settings: what to do.
        console: where progress and the table go.
    """

    def __init__(self, settings: DemoSettings, console: Console | None = None) -> None:
        self.settings = settings
        self.console = console or Console()
        self.seconds: dict[str, float] = {}
        self.reused: list[str] = []
        self.kept = ResultCache(settings.out / "kept")
        self.device = choose_device(settings.device)

    def run(self) -> Path:
        """Does everything; returns the report's path. What an earlier run has made of the same causes is taken."""
        begin = time.perf_counter()
        settings = self.settings
        settings.out.mkdir(parents=True, exist_ok=True)
        world = self._world()
        folder = CocoFolder(world, SPLIT)
        shipped = FIND.from_pretrained(device=self.device).eval()
        evaluations: dict[str, dict[str, Any] | None] = {
            "untrained": self._evaluated("untrained", world, self._untrained(shipped), UNTRAINED_CLICKED_IMAGES),
            "trained": None,
            "shipped": None,
            "clip": None,
        }
        model, run, training = shipped, settings.out / "fit", None
        if not settings.skip_training:
            training = self._train(world, run, shipped)
            model = FIND.from_pretrained(run / "model", device=self.device).eval()
            evaluations["trained"] = self._evaluated("trained", world, model)
        evaluations["shipped"] = self._evaluated("shipped", world, shipped)
        evaluations["clip"] = self._pair_evaluated(world, shipped)
        columns = {name: only_table(figures) for name, figures in evaluations.items()}
        found_notes = notes(columns, training)

        album = self._album(model, world)
        with self._part("queries"):
            questions = draw_questions(folder, folder.image_ids, count=settings.queries, seed=settings.seed)
            examples = answer_questions(album, questions)
        with self._part("report"):
            pictures = {}
            if training is not None:
                pictures["Losses of this training"] = self._picture(run / "curves.png", "losses.png")
            sheet = contact_sheet(world, SPLIT, settings.out / "contact-sheet.png", 24, columns=6, scale=2)
            pictures["Scenes of the synthetic world"] = self._picture(sheet, sheet.name)
            report = Report(
                headline="FIND: trained, evaluated and asked" if training else "FIND: evaluated and asked",
                facts=self._facts(shipped, album, training),
                columns=columns,
                notes=found_notes,
                examples=examples,
                pictures=pictures,
                seconds=self.seconds,
            )
            page = write_report(report, settings.out / "report.html")
        self.seconds["total"] = time.perf_counter() - begin
        self._write_metrics(columns, evaluations, album, world, training, found_notes)
        self.console.print(rich_table(columns))
        for note in found_notes:
            self.console.print(f"[yellow]{note}")
        self.console.print(f"[bold]{page}[/]  {settings.out / 'metrics.json'}  {self.seconds['total']:.0f} s")
        return page

    def _world(self) -> Path:
        """The data; without training a world that has hardly any training images will do."""
        settings = self.settings

        def place(train_images: int) -> Path:
            name = f"world-seed{settings.seed}-{train_images}+{settings.val_images}-{settings.size}px"
            return settings.out.parent / f"{name}-{source_key(folder='data/world')[:6]}"

        for candidate in (place(settings.train_images), *([place(1)] if settings.skip_training else [])):
            if candidate.is_dir():
                self.reused.append("world")
                return candidate
        train_images = 1 if settings.skip_training else settings.train_images
        world = place(train_images)
        with self._part("world"):
            unfinished = world.with_name(world.name + ".part")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was interrupted
            generate_world(
                unfinished,
                images=train_images,
                val_images=settings.val_images,
                seed=settings.seed,
                size=settings.size,
            )
            unfinished.rename(world)
        return world

    def _untrained(self, shipped: FIND) -> FIND:
        with torch.random.fork_rng():
            torch.manual_seed(self.settings.seed)
            return FIND.build(shipped.config).to(self.device).eval()

    def _train(self, world: Path, run: Path, shipped: FIND) -> TrainingRecord:
        """The training, or that of an earlier run with the same causes."""
        settings = self.settings
        config = find_config(CONFIG)
        foundations = [fingerprint(shipped.vision), fingerprint(shipped.language)]
        length = (settings.steps, settings.minutes)
        key = source_key(world.name, *length, self.device.type, config.read_bytes(), foundations)
        kept = self.kept.get("fit", key)
        if kept and (run / "model").is_dir():
            self.reused.append("training")
            return TrainingRecord.from_json(kept)
        with self._part("training"):
            training = train(config, world, run, steps=settings.steps, cap=settings.minutes, device=self.device)
        self.kept.keep("fit", key, training.to_json())
        return training

    def _evaluated(self, name: str, world: Path, model: FIND, clicked_images: int = CLICKED_IMAGES) -> dict[str, Any]:
        def measure() -> Evaluation:
            model.feature_cache = FeatureCache(KEPT_FEATURES)  # six tasks ask about the same images
            try:
                return evaluate(model, world, split=SPLIT, clicked_images=clicked_images)
            finally:
                model.feature_cache = None

        return self._figures(name, world, model.fingerprint, measure)

    def _pair_evaluated(self, world: Path, model: FIND) -> dict[str, Any]:
        pair = FrozenPair(vision=model.vision, language=model.language)
        return self._figures("clip", world, model.fingerprint, lambda: evaluate_pair(pair, world, split=SPLIT))

    def _figures(self, name: str, world: Path, weights: str, measure: Callable[[], Evaluation]) -> dict[str, Any]:
        key = source_key(world.name, weights)
        figures = self.kept.get(name, key)
        if figures is not None:
            self.reused.append(f"evaluation of {name}")
            return figures
        with self._part(f"evaluation of {name}"):
            figures = measure().to_json()
        self.kept.keep(name, key, figures)
        return figures

    def _album(self, model: FIND, world: Path) -> Album:
        path = self.settings.out / "album"
        if path.is_dir():
            try:
                album = Album.open(path, model)
            except FindError:  # of other weights
                album = None
            if album is not None and album.root == (world / SPLIT).resolve() and len(album) == self.settings.val_images:
                self.reused.append("album")
                return album
            shutil.rmtree(path)
        with self._part("album"):
            return Album.build(model, world / SPLIT, path)

    def _picture(self, source: Path, name: str) -> Image.Image:
        """The picture, also kept beside the report."""
        with Image.open(source) as opened:
            picture = opened.convert("RGB")
        if source != self.settings.out / name:
            picture.save(self.settings.out / name)
        return picture

    def _facts(self, shipped: FIND, album: Album, training: TrainingRecord | None) -> list[str]:
        settings = self.settings
        trainable = sum(parameter.numel() for parameter in shipped.interface.parameters())
        facts = [
            f"{len(album)} images evaluated and searched (more with --val-images)",
            f"NoC: {CLICKED_IMAGES} of them",
            f"world of seed {settings.seed}",
            f"runs on {self.device.type}",
        ]
        if training is None:
            return ["weights that ship with the package", *facts]
        trained = f"{trainable / 1e6:.1f} M weights trained for {training.minutes:.1f} minutes: {training.summary}"
        return [trained, f"{settings.train_images:,} training scenes", f"precision {training.precision}", *facts]

    def _write_metrics(
        self,
        columns: dict[str, Metrics],
        evaluations: dict[str, dict[str, Any] | None],
        album: Album,
        world: Path,
        training: TrainingRecord | None,
        found_notes: list[str],
    ) -> None:
        settings = self.settings
        details = {
            name: {part: figures[part] for part in ("held_out", "details", "skipped")}
            for name, figures in evaluations.items()
            if figures is not None
        }
        record = {
            "columns": columns,
            "data": {
                "seed": settings.seed,
                "images": {"train": 0 if settings.skip_training else settings.train_images, "val": settings.val_images},
                "size": settings.size,
                "gallery": len(album),
                "split": SPLIT,
                "world": world.name,
                "skip_training": settings.skip_training,
            },
            "training": training and training.to_json(),
            "notes": found_notes,
            "seconds": {part: round(seconds, 2) for part, seconds in self.seconds.items()},
            "reused": self.reused,
            "details": details,
        }
        text = json.dumps(record, indent=1, allow_nan=False)
        (settings.out / "metrics.json").write_text(text + "\n", encoding="utf-8")

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        self.console.rule(f"[bold]{name}", align="left")
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.console.print(f"[dim]{name}: {self.seconds[name]:.0f} s")
