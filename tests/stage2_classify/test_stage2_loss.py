"""The loss of stage 2 is the competition's score, and what the local loss knows and doesn't know."""

import numpy as np
import pytest
import torch

from common.competition_metric import score
from stage2_classify.settings import LossSettings
from stage2_classify.training.loss import competition_loss, voxel_loss


def test_loss_of_a_constant_answer_is_its_score():
    rng = np.random.default_rng(3)
    labels = (rng.random((40, 8)) < 0.2).astype(float)
    labels[:, 7] = labels[:, :7].max(axis=1)
    constants = np.array([0.10, 0.19, 0.05, 0.08, 0.11, 0.18, 0.26, 0.53])
    logits = torch.logit(torch.tensor(constants)).repeat(40, 1)
    loss = competition_loss(logits, torch.tensor(labels), LossSettings())
    assert float(loss) == pytest.approx(score(np.tile(constants, (40, 1)), labels), abs=1e-6)


def test_loss_of_two_studies_worked_by_hand():
    # A: nothing fractured, 0.05 for the levels, 0.10 overall. B: C2 fractured, C2 0.8, overall 0.9, else 0.05.
    p = torch.full((2, 8), 0.05)
    p[0, 7], p[1, 1], p[1, 7] = 0.10, 0.80, 0.90
    labels = torch.zeros(2, 8)
    labels[1, 1] = labels[1, 7] = 1
    assert float(competition_loss(torch.logit(p), labels, LossSettings())) == pytest.approx(0.0898247, abs=1e-6)


def test_smoothed_loss_is_least_where_the_smoothed_labels_are():
    # One study, all healthy, smoothing 0.2: every target is 0.1, whose own entropy is the least loss.
    p = torch.full((1, 8), 0.1)
    loss = competition_loss(torch.logit(p), torch.zeros(1, 8), LossSettings(label_smoothing=0.2))
    assert float(loss) == pytest.approx(-(0.1 * np.log(0.1) + 0.9 * np.log(0.9)), abs=1e-6)
    # All fractured, answered 0.1 still: 0.9 is asked for.
    loss = competition_loss(torch.logit(p), torch.ones(1, 8), LossSettings(label_smoothing=0.2))
    assert float(loss) == pytest.approx(-(0.9 * np.log(0.1) + 0.1 * np.log(0.9)), abs=1e-6)


def outputs_of(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_healthy_vertebra_is_healthy_at_every_place_near_it():
    answer = outputs_of(voxel_logits=[[0.0, 0.0, 50.0]], vertebra_mask=[[True, True, False]])
    loss = voxel_loss(answer, torch.tensor([False]), torch.tensor([False]), LossSettings())
    assert float(loss) == pytest.approx(np.log(2))  # softplus(0); the place that isn't near doesn't count


def test_fractured_vertebra_without_boxes_says_nothing_about_places():
    answer = outputs_of(voxel_logits=[[3.0, -3.0]], vertebra_mask=[[True, True]], distance=[[0.0, 50.0]])
    loss = voxel_loss(answer, torch.tensor([True]), torch.tensor([False]), LossSettings())
    assert float(loss) == 0


def test_boxes_say_where_a_fractured_vertebra_is_fractured():
    answer = outputs_of(voxel_logits=[[0.0, 0.0, 7.0]], vertebra_mask=[[True, True, True]], distance=[[0.0, 50.0, 6.0]])
    loss = voxel_loss(answer, torch.tensor([True]), torch.tensor([True]), LossSettings(inside_mm=3, outside_mm=10))
    assert float(loss) == pytest.approx(2 * np.log(2))  # inside: softplus(-0); far: softplus(0); between: unknown
