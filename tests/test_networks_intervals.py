"""Bootstrap intervals."""

import numpy as np
import pytest

from eenn_rl.networks.intervals import difference_error, difference_interval, mean_interval


def test_independent_images_give_the_binomial_interval() -> None:
    """Without copies the interval is that of a binomial, 1.96 standard errors each way."""
    values = (np.arange(4000) % 10 < 8).astype(np.float64)
    low, high = mean_interval(values, np.arange(4000))
    error = 1.96 * np.sqrt(0.8 * 0.2 / 4000)
    assert low == pytest.approx(0.8 - error, abs=0.002)
    assert high == pytest.approx(0.8 + error, abs=0.002)


def test_copies_do_not_narrow_it() -> None:
    """Ten copies of each image say no more than one: the interval stays as wide."""
    values = (np.arange(400) % 10 < 8).astype(np.float64)
    low, high = mean_interval(values, np.arange(400))
    copied = mean_interval(np.tile(values, 10), np.tile(np.arange(400), 10))
    assert copied[1] - copied[0] == pytest.approx(high - low, rel=0.05)


def test_paired_difference() -> None:
    """The difference to oneself is nothing; pairing removes what both get wrong; one seed, one answer."""
    rng = np.random.default_rng(0)
    base = rng.random(2000) < 0.8
    assert difference_interval(base, base, np.arange(2000)) == (0, 0)
    better = base | (rng.random(2000) < 0.05)
    low, high = difference_interval(better, base, np.arange(2000))
    assert 0 < low < (better.mean() - base.mean()) < high < 0.03
    assert (low, high) == difference_interval(better, base, np.arange(2000))


def test_the_standard_error_of_a_paired_difference_is_that_of_the_bootstrap() -> None:
    """A 95% interval is 3.92 standard errors wide, with one image per group and with three."""
    rng = np.random.default_rng(1)
    base = rng.random(3000) < 0.8
    other = np.where(rng.random(3000) < 0.1, rng.random(3000) < 0.7, base)
    for groups in (np.arange(3000), np.arange(3000) % 1000):
        low, high = difference_interval(other, base, groups)
        assert difference_error(other, base, groups) == pytest.approx((high - low) / 3.92, rel=0.05)


def test_copies_do_not_lower_the_standard_error() -> None:
    """An image shown twice is one image; and nothing is uncertain about the difference to oneself."""
    rng = np.random.default_rng(2)
    base, other, groups = rng.random(500) < 0.8, rng.random(500) < 0.8, np.arange(500)
    once = difference_error(other, base, groups)
    assert difference_error(np.tile(other, 2), np.tile(base, 2), np.tile(groups, 2)) == pytest.approx(once)
    assert difference_error(base, base, groups) == 0
    assert difference_error(base, other, np.zeros(500, np.int64)) == 0
