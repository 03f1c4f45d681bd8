"""Claims about what FIND answers with: it prints in a line, whatever it holds."""

import numpy as np
import torch

from find.model.predictions import (
    EntityMask,
    ImageEmbeddings,
    InstancePrediction,
    PanopticPrediction,
    PredictedSegment,
    QueryEmbeddings,
)


def test_answers_print_in_a_line():
    mask = np.zeros((60, 80), bool)
    mask[:10, :12] = True
    answers = {
        "EntityMask(120 of 80x60 pixels, score 0.912)": EntityMask(mask, 0.9123),
        "ImageEmbeddings(image [2, 8], objects [2, 5, 8])": ImageEmbeddings(
            torch.zeros(2, 8), torch.zeros(2, 5, 8), torch.zeros(2, 5), (torch.zeros(5, 15, 20),) * 2, ()
        ),
        "QueryEmbeddings(query [1, 8], entities [1, 3, 8])": QueryEmbeddings(
            torch.zeros(1, 8), torch.zeros(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool), ((),)
        ),
        "PanopticPrediction(segments=(PredictedSegment(id=1, label=0, score=0.5, name='a'),))": PanopticPrediction(
            mask.astype(int), (PredictedSegment(1, 0, 0.5, "a"),)
        ),
        "InstancePrediction(labels=array([2]), scores=array([0.5]), names=('a',))": InstancePrediction(
            mask[None], np.array([2]), np.array([0.5]), ("a",)
        ),
    }
    for text, answer in answers.items():
        assert repr(answer) == text
