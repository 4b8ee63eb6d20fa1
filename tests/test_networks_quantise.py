"""Quantisers: what a value becomes, and what its gradient is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import relu6

from eenn_rl.integers import activation_range
from eenn_rl.networks.quantise import (
    ActivationQuantiser,
    best_step,
    quantise_activation,
    quantise_weight,
    refreshing,
    weight_step,
)

BITS = (1, 2, 3, 4, 6, 8, 16)


@settings(deadline=None)
@given(bits=st.sampled_from(BITS[:-1]), seed=st.integers(0, 10_000), channels=st.integers(1, 5))
def test_a_channel_holds_at_most_two_to_the_bits_values(bits: int, seed: int, channels: int) -> None:
    """A weight at b bits takes at most 2^b distinct values in each channel: odd multiples of half a step."""
    weight = torch.randn(channels, 40, generator=torch.Generator().manual_seed(seed)) * (1 + seed)
    for row, step in zip(quantise_weight(weight, bits), weight_step(weight, bits), strict=True):
        values = row.unique()
        assert len(values) <= 2**bits
        halves = values / (step / 2)
        assert torch.allclose(halves, halves.round(), atol=1e-3)
        assert (halves.round() % 2 == 1).all()
        assert halves.abs().max() < 2**bits


def test_more_bits_lose_less() -> None:
    """The squared error of weights falls with every bit, near what is known for a Gaussian (2 bits: 0.119)."""
    weight = torch.randn(4, 4096, generator=torch.Generator().manual_seed(0))
    errors = [float((quantise_weight(weight, bits) - weight).square().mean()) for bits in BITS]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] == pytest.approx(0.1188, rel=0.05)
    assert errors[3] == pytest.approx(0.01154, rel=0.05)


def test_scale_does_not_matter_to_a_weight() -> None:
    """Quantising c times a weight gives c times the quantised weight: batch norm may undo any scale."""
    weight = torch.randn(3, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(quantise_weight(weight * 8, 2), quantise_weight(weight, 2) * 8)


def test_gradients_pass_straight_through() -> None:
    """A weight's gradient passes unchanged; an activation's only inside the range."""
    weight = torch.tensor([[0.1, -5.0, 2.0]], requires_grad=True)
    quantise_weight(weight, 2).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1, 1, 1]]
    values = torch.tensor([-1.0, 0.4, 2.2, 9.0], requires_grad=True)
    result = quantise_activation(values, torch.tensor(1.0), 2, signed=False)
    result.sum().backward()
    assert result.tolist() == [0, 0, 2, 3]
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("step", [0.01, 0.0235, 0.4, 2.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_ceiling_is_that_of_the_activation(bits: int, step: float, dtype: torch.dtype) -> None:
    """Bounded and quantised at once: values and gradients of one after the other."""
    drawn = (torch.randn(4000, generator=torch.Generator().manual_seed(3)) * 5).to(dtype)
    at_once, in_turn = drawn.clone().requires_grad_(), drawn.clone().requires_grad_()
    one = quantise_activation(at_once, torch.tensor(step), bits, signed=False, ceiling=6.0)
    other = quantise_activation(relu6(in_turn), torch.tensor(step), bits, signed=False)
    one.sum().backward()
    other.sum().backward()
    assert torch.equal(one, other)
    assert at_once.grad is not None
    assert in_turn.grad is not None
    assert torch.equal(at_once.grad, in_turn.grad)


def test_a_ceiling_is_no_number_that_a_replayed_step_would_keep() -> None:
    """Elsewhere than on a processor the step's value is never read: a captured step would keep the first for ever."""
    values, step = torch.empty(8, device="meta"), torch.empty((), device="meta")
    assert quantise_activation(values, step, 4, signed=False, ceiling=6.0).shape == (8,)


def test_a_step_is_the_best_for_bounded_values() -> None:
    """What lies beyond the ceiling does not widen the step."""
    values = torch.rand(4000, generator=torch.Generator().manual_seed(4)) * 60
    step = float(best_step(values, 8, signed=False, ceiling=6.0))
    assert step == float(best_step(relu6(values), 8, signed=False)) <= 6.001 / 255
    quantiser = ActivationQuantiser(8, signed=False, ceiling=6.0)
    with refreshing(quantiser):
        quantiser(values)
    assert float(quantiser.step) == step


@settings(deadline=None)
@given(bits=st.sampled_from((2, 4, 8)), signed=st.booleans(), seed=st.integers(0, 1000))
def test_activations_lie_on_the_grid(bits: int, signed: bool, seed: int) -> None:
    """An activation at b bits is an integer multiple of its step within the range of that many bits."""
    values = torch.randn(500, generator=torch.Generator().manual_seed(seed)) * 3
    step = best_step(values, bits, signed=signed)
    integers = quantise_activation(values, step, bits, signed=signed) / step
    low, high = activation_range(bits, signed=signed)
    assert torch.allclose(integers, integers.round(), atol=1e-3)
    assert low <= integers.round().min()
    assert integers.round().max() <= high


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_best_step_beats_others(bits: int) -> None:
    """The chosen step loses less than steps a third smaller or larger."""
    values = torch.randn(8000, generator=torch.Generator().manual_seed(2)).relu()

    def error(step: torch.Tensor) -> float:
        return float((quantise_activation(values, step, bits, signed=False) - values).square().mean())

    step = best_step(values, bits, signed=False)
    assert error(step) < min(error(step / 1.5), error(step * 1.5))


def test_steps_move_only_when_asked() -> None:
    """A step stays as it is in training and evaluation alike, and moves by the share given within `refreshing`."""
    quantiser, values = ActivationQuantiser(4, signed=False), torch.rand(1000) * 10
    quantiser(values)
    assert float(quantiser.step) == 1
    best = float(best_step(values, 4, signed=False))
    with refreshing(quantiser, 0.5):
        quantiser(values)
    assert float(quantiser.step) == pytest.approx((1 + best) / 2)
    quantiser(values * 100)
    assert float(quantiser.step) == pytest.approx((1 + best) / 2)


def test_averaging_forgets_what_was_before() -> None:
    """Within an averaging refresh a step is the mean of the best steps of all batches."""
    quantiser = ActivationQuantiser(4, signed=False)
    batches = [torch.rand(500) * scale for scale in (1.0, 3.0, 8.0)]
    with refreshing(quantiser, averaging=True):
        for batch in batches:
            quantiser(batch)
    mean = torch.stack([best_step(batch, 4, signed=False) for batch in batches]).mean()
    assert float(quantiser.step) == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize("batch", [32, 64, 256, 341])
def test_a_step_is_chosen_on_the_whole_map(batch: int) -> None:
    """Not on a few of its columns: here one in sixteen is empty, and the step is that of the others."""
    values = torch.randn(batch, 16, 16, 16, generator=torch.Generator().manual_seed(0)).relu()
    whole = float(best_step(values, 4, signed=False))
    values[..., 0] = 0
    assert float(best_step(values, 4, signed=False)) == pytest.approx(whole, rel=0.1)
    values[..., 1:] = 0
    assert float(best_step(values, 4, signed=False)) < 1e-3
