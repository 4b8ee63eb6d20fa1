"""Depthwise convolutions in bfloat16: the values and gradients of float32, as far as eight bits go."""

import pytest
import torch
from torch.nn import functional

from eenn_rl.networks.depthwise import mixed_depthwise


@pytest.mark.parametrize("kernel", [(3, 3), (7, 7), (5, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2)])
def test_values_and_gradients_are_those_of_float32(kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    padding = kernel[0] // 2, kernel[1] // 2
    image = torch.randn(4, 6, 9, 11, generator=random).contiguous(memory_format=torch.channels_last)
    weights = torch.randn(6, 1, *kernel, generator=random)
    exact, low = image.clone().requires_grad_(), image.bfloat16().requires_grad_()
    full, mixed = weights.clone().requires_grad_(), weights.clone().requires_grad_()

    wanted = functional.conv2d(exact, full, None, stride, padding, groups=6)
    found = mixed_depthwise(low, mixed, stride, padding)
    gradient = torch.randn(wanted.shape, generator=random)
    wanted.backward(gradient)
    found.backward(gradient.bfloat16())

    assert found.dtype == torch.bfloat16
    assert mixed.grad is not None
    assert mixed.grad.dtype == torch.float32
    assert low.grad is not None
    assert low.grad.is_contiguous(memory_format=torch.channels_last)
    for one, other in ((found, wanted), (low.grad, exact.grad), (mixed.grad, full.grad)):
        assert other is not None
        error = (one.detach().float() - other.detach()).norm() / other.detach().norm()
        assert error < 0.01, "bfloat16 has eight bits: each value is off by up to 0.4%"
