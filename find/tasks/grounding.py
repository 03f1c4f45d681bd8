"""Grounded segmentation: grounding proposals matched with the description queries of phrases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from find.data.batch import Drawn
from find.data.collate import Scenes, longest
from find.data.indexed_sample import IndexedSample
from find.foundations import LanguageEncoder
from find.interface import Group, Interface, Member, Prompt, Prototype, Slots, Start
from find.tasks.losses import SegmentationWeights
from find.tasks.prompted import PromptedTask, Space
from find.tasks.segmentation import PromptedSegmentation
from find.tasks.task import Step, expect
from find.tasks.text_inputs import read_texts
from find.utils.transfer import upload

PROTOTYPE = Prototype(
    (
        Member(
            Group.GROUNDING,
            Start.OBJECT_QUERIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.GROUNDING, Group.DESCRIPTION_TOKENS),
        ),
        Member(
            Group.DESCRIPTION,
            Start.IMAGE_QUERY,
            content=Group.DESCRIPTION_TOKENS,
            by_index=True,
            condition=(Group.DESCRIPTION,),
        ),
        Member(
            Group.DESCRIPTION_TOKENS,
            Start.TOKENS,
            condition=(Group.DESCRIPTION_TOKENS, Group.GROUNDING),
            predicts=False,
        ),
    )
)
TASK = PromptedTask("grounding", Group.GROUNDING, Group.DESCRIPTION, Space.SEMANTIC)


def prompt(
    interface: Interface,
    tokens: Float[Tensor, "b t l w"],
    token_padding: Bool[Tensor, "b t l"],
    text_padding: Bool[Tensor, "b t"],
    pooled: Float[Tensor, "b t v"] | None = None,
) -> Prompt:
    """The texts of each image side by side; description query k reads the tokens of text k.

    Args:
        tokens: the language encoder's features of each image's texts.
        token_padding: padding within a text; all True for a padding text.
        text_padding: which of an image's `t` texts are padding.
        pooled: the language encoder's own embeddings of the texts, if it has any.
    """
    b, t, length, _ = tokens.shape
    index = torch.arange(t, device=tokens.device).repeat_interleave(length).expand(b, -1)
    words = interface.project_text_tokens(tokens.flatten(1, 2), token_padding.flatten(1), index)
    return Prompt(
        PROTOTYPE,
        tokens={Group.DESCRIPTION_TOKENS: words},
        slots={Group.DESCRIPTION: Slots.of(text_padding)},
        foundation={} if pooled is None else {Group.DESCRIPTION: pooled},
    )


@dataclass(frozen=True)
class Phrases:
    """Several texts an image; an image with fewer has padding."""

    tokens: Float[Tensor, "b t l w"]
    token_padding: Bool[Tensor, "b t l"]
    padding: Bool[Tensor, "b t"]
    pooled: Float[Tensor, "b t v"] | None = None

    @classmethod
    def read(cls, language: LanguageEncoder, texts: Sequence[Sequence[str]], device: torch.device) -> "Phrases":
        """Encodes each distinct text once."""
        distinct = list(dict.fromkeys(text for row in texts for text in row)) or [""]
        features = read_texts(language, distinct, device)
        number = {text: k for k, text in enumerate(distinct)}
        width = max(max((len(row) for row in texts), default=1), 1)
        place = upload(torch.tensor([[number[t] for t in row] + [0] * (width - len(row)) for row in texts]), device)
        counts = torch.tensor([len(row) for row in texts])
        padding = upload(torch.arange(width) >= counts[:, None], device)
        pooled = None if features.pooled is None else features.pooled[place]
        return cls(features.tokens[place], features.padding[place] | padding[..., None], padding, pooled)

    def prompt(self, interface: Interface) -> Prompt:
        return prompt(interface, self.tokens, self.token_padding, self.padding, self.pooled)


@dataclass(frozen=True)
class DrawnTexts(Drawn):
    """Texts to ground in each image: phrases of sentences, referring expressions, class names."""

    texts: list[list[str]]
    targets: Bool[Tensor, "b t s"]
    """The segments that a text means, together."""


class Grounding(PromptedSegmentation):
    """A mask for each text."""

    name = "grounding"
    prototype = PROTOTYPE
    weights: ClassVar = {"grounding": SegmentationWeights(2, 3, 3)}
    proposals = Group.GROUNDING

    def collate(self, scenes: Scenes) -> DrawnTexts:
        texts = [_draw_texts(scenes, row, rng) for row, rng in zip(scenes.rows, scenes.rngs, strict=True)]
        targets = torch.zeros(len(texts), longest(texts), scenes.segments, dtype=torch.bool)
        for number, found in enumerate(texts):
            for slot, columns in enumerate(found.values()):
                targets[number, slot, list(columns)] = True
        return DrawnTexts([list(found) for found in texts], targets)

    def read(self, step: Step) -> Phrases:
        drawn = expect(step.batch.drawn[self.name], DrawnTexts)
        return Phrases.read(step.model.language, drawn.texts, step.model.device)

    def prompt(self, step: Step) -> Prompt:
        return step.read[self.name].prompt(step.model.interface)

    def comparison(self, step: Step) -> PromptedTask:
        return TASK

    def meant(self, step: Step) -> Bool[Tensor, "b t s"]:
        return expect(step.batch.drawn[self.name], DrawnTexts).targets

    def predict(self, model: Any, images: Any, prompts: Sequence[Sequence[str]], *, batch_size: int = 16) -> Any:
        """A prompt is a list of texts; the result has a mask for each (`FIND.ground`)."""
        return model.ground(images, prompts, batch_size=batch_size)


def _draw_texts(scenes: Scenes, row: IndexedSample, rng: np.random.Generator) -> dict[str, set[int]]:
    """Text -> columns. Equal texts become one text that refers to all of their segments.

    Referring expressions, which are the hardest, get up to half of the places.
    """
    most = scenes.limits.phrases
    meant: dict[str, tuple[str, set[int]]] = {}

    def add(text: str, columns: Sequence[int]) -> None:
        if columns:
            meant.setdefault(text.casefold(), (text, set()))[1].update(columns)

    for expression in row.sample.expressions:
        if expression.segment_id in row.columns:
            add(expression.text, [row.columns[expression.segment_id]])
    expressions = len(meant)
    for sentence in row.sample.sentences:
        for phrase in sentence.phrases:
            add(phrase.text, row.columns_of(phrase))
    for column, segment in enumerate(row.segments):
        add(scenes.categories[segment.category_id].words, [column])
    candidates = list(meant.values())
    first = rng.permutation(expressions)[: most // 2]
    rest = np.setdiff1d(rng.permutation(len(candidates)), first, assume_unique=True)
    return dict(candidates[i] for i in np.concatenate([first, rest])[:most])
