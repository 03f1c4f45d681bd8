"""Prompts join into one; tasks that share groups add their prototypes instead."""

import pytest

from find.interface import Group, Prompt
from find.tasks import generic, interleaved


def test_join_refuses_two_prompts_with_the_same_group():
    with pytest.raises(ValueError, match="object proposals"):
        Prompt.join([generic.prompt(), generic.prompt()])


def test_join_keeps_every_prompts_members_in_order():
    both = Prompt.join([generic.prompt(), Prompt(interleaved.RETRIEVAL)])
    assert both.prototype.members == generic.PROTOTYPE.members + interleaved.RETRIEVAL.members


def test_sum_of_prototypes_has_shared_members_once():
    groups = [member.group for member in (interleaved.SEGMENTATION + interleaved.RETRIEVAL).members]
    assert len(groups) == len(set(groups))
    assert {Group.ENTITY, Group.INTERLEAVED, Group.INTERLEAVED_ENTITY, Group.REGION_TOKENS} <= set(groups)
