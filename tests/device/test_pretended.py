"""The pretended device refuses and counts what a GPU would."""

import pytest
import torch
from pretended import DEVICE, DeviceTensor, MixedDevicesError, back, counted, on_device, pretended, to_device


@pytest.fixture(autouse=True)
def device():
    with pretended():
        yield


def test_answers_are_the_cpus():
    torch.manual_seed(0)
    layer, x = torch.nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(3, 5, 8)
    expected = layer(x, x, x, need_weights=False)[0].square().sum()
    expected.backward()
    gradient = layer.in_proj_weight.grad.clone()
    layer.zero_grad()
    there = on_device(x)
    found = to_device(layer)(there, there, there, need_weights=False)[0].square().sum()
    found.backward()
    assert isinstance(found, DeviceTensor)
    torch.testing.assert_close(back(found.detach()), expected.detach())
    torch.testing.assert_close(back(layer.in_proj_weight.grad), gradient)


def test_it_refuses_to_mix():
    there = torch.zeros(3, device=DEVICE)
    with pytest.raises(MixedDevicesError):
        there + torch.zeros(3)
    with pytest.raises(MixedDevicesError):
        torch.zeros(3)[there.long()]
    with pytest.raises(MixedDevicesError):
        there.numpy()
    assert back(there + torch.tensor(1.0)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("wait", "times"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: int(x.max()), 1),
        (lambda x: bool(x.any()), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 1], 1),
        (lambda x: x.masked_select(x > 1), 1),
        (lambda x: x.unique(), 1),
        (lambda x: x.bincount(), 2),
        (lambda x: x.repeat_interleave(x), 1),
        (lambda x: torch.tensor([x[0], x[1]]), 2),
        (lambda x: torch.empty(4, dtype=x.dtype).copy_(x), 1),
        (lambda x: x.clone().index_put_((x > 1,), x[:2]), 1),
        (lambda x: x.clone().masked_fill_(x > 1, 0), 0),
        (lambda x: x[x], 0),
        (lambda x: x.repeat_interleave(2), 0),
        (lambda x: x.topk(2), 0),
    ],
)
def test_it_counts_waits(wait, times):
    x = on_device(torch.tensor([0, 1, 2, 3]))
    with counted() as waits:
        wait(x)
    assert len(waits) == times, waits


def test_it_counts_blocking_uploads():
    with counted() as waits:
        torch.tensor([1, 2], device=DEVICE)
        torch.zeros(3).to(DEVICE)
        torch.zeros(3).to(DEVICE, non_blocking=True)
        torch.zeros(3, device=DEVICE)
    assert (len(waits), waits.uploads.total()) == (0, 2)


def test_views_share_memory():
    x = torch.zeros(2, 3, device=DEVICE)
    x[1, 1:] = 5
    x[:, :1].copy_(torch.ones(2, 1, device=DEVICE))
    torch.ge(x, 5, out=(out := torch.empty(2, 3, dtype=torch.bool, device=DEVICE)))
    assert back(x).tolist() == [[1, 0, 0], [1, 5, 5]]
    assert back(out).tolist() == [[False] * 3, [False, True, True]]
