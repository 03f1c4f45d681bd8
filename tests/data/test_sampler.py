"""Every image is dealt once an epoch, to one rank, beside images it is linked with."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from find.data.coco import CocoFolder
from find.data.sampler import ReferenceBatchSampler, reference_links
from find.errors import FindError


def ring(images: int) -> list[tuple[int, ...]]:
    """Links of a ring with big steps: neighbours in the ring are far apart in the order."""
    step = next(step for step in range(images // 2, images) if images % step)
    return [((i + step) % images, (i - step) % images) for i in range(images)]


def dealt(links, *, world_size=1, epoch=0, **options) -> list[list[tuple[int, ...]]]:
    """The batches of each rank."""
    ranks = []
    for rank in range(world_size):
        sampler = ReferenceBatchSampler(links, rank=rank, world_size=world_size, **options)
        sampler.set_epoch(epoch)
        ranks.append([draw.positions for draw in sampler])
        assert len(ranks[-1]) == len(sampler)
    return ranks


@given(
    images=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 4),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
)
def test_ranks_share_every_image_exactly_once(images, batch_size, world_size, shuffle, seed):
    images = max(images, world_size)
    links = [((i * 7 + 3) % images, (i * 5 + 1) % images) for i in range(images)]
    ranks = dealt(links, batch_size=batch_size, world_size=world_size, shuffle=shuffle, seed=seed, drop_last=False)
    positions = list(chain.from_iterable(chain.from_iterable(ranks)))
    assert set(positions) == set(range(images))
    assert len({len(batches) for batches in ranks}) == 1
    assert all(1 <= len(batch) <= max(batch_size, 2) for batch in chain.from_iterable(ranks))
    assert len(positions) == images


@given(images=st.integers(1, 60), batch_size=st.integers(1, 9), world_size=st.integers(1, 4))
def test_dropping_the_last_keeps_full_batches_without_repeats(images, batch_size, world_size):
    ranks = dealt(ring(max(images, 3)), batch_size=batch_size, world_size=world_size)
    positions = list(chain.from_iterable(chain.from_iterable(ranks)))
    if max(images, 3) >= batch_size * world_size:
        assert len(positions) == len(set(positions))
        assert {len(batch) for batch in chain.from_iterable(ranks)} == {batch_size}
    assert all(len(batches) >= 1 for batches in ranks)


def linked_part(batches, links) -> float:
    """Share of images that sit with one they are linked with."""
    sitting = [any(other in batch for other in links[i]) for batch in batches for i in batch]
    return sum(sitting) / len(sitting)


def test_most_images_sit_with_one_they_are_linked_with():
    links = ring(400)
    (together,) = dealt(links, batch_size=16)
    (apart,) = dealt(links, batch_size=16, linked_share=0)
    assert linked_part(together, links) > 0.8 > 0.2 > linked_part(apart, links)


def test_epochs_differ_and_repeat_by_seed():
    links = ring(40)
    assert dealt(links, batch_size=8, epoch=1) == dealt(links, batch_size=8, epoch=1)
    assert dealt(links, batch_size=8, epoch=1) != dealt(links, batch_size=8, epoch=2)
    assert dealt(links, batch_size=8, seed=1) != dealt(links, batch_size=8, seed=2)
    assert dealt(links, batch_size=8, epoch=1, shuffle=False) == dealt(links, batch_size=8, epoch=2, shuffle=False)


def test_without_links_and_shuffling_the_order_is_the_datas():
    assert dealt([()] * 7, batch_size=3, shuffle=False, drop_last=False) == [[(0, 1, 2), (3, 4), (5, 6)]]


def test_each_image_has_its_own_seed_whatever_the_number_of_ranks():
    def seeds(batch_size: int, world_size: int) -> dict[int, int]:
        ranks = [
            ReferenceBatchSampler(ring(16), batch_size=batch_size, rank=rank, world_size=world_size)
            for rank in range(world_size)
        ]
        draws = [draw for rank in ranks for draw in rank]
        return {place: seed for draw in draws for place, seed in zip(draw.positions, draw.seeds, strict=True)}

    alone = seeds(8, 1)
    assert len(alone) == len(set(alone.values())) == 16
    assert alone == seeds(4, 2) == seeds(2, 4)


def test_an_interrupted_epoch_goes_on_behind_the_batches_that_were_seen():
    sampler = ReferenceBatchSampler(ring(20), batch_size=4)
    whole = list(sampler)
    sampler.resume_at(0, 3)
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole
    sampler.resume_at(0, 3)
    sampler.set_epoch(1)
    assert len(list(sampler)) == len(whole)


def test_fewer_images_than_processes_are_not_shared_without_repeating_one():
    with pytest.raises(FindError, match="2 images cannot be shared by 3 processes"):
        ReferenceBatchSampler([(), ()], batch_size=1, world_size=3, drop_last=False)


def test_references_link_both_images(tiny):
    assert reference_links(CocoFolder(tiny.root, "val2017")) == [(1,), (0,), ()]


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 1, "rank": 2, "world_size": 2}])
def test_senseless_numbers_are_refused(options):
    with pytest.raises(ValueError, match=r"batch_size|rank"):
        ReferenceBatchSampler([()], **options)
