"""Training-free scores."""

import pytest
import torch

from eenn_rl.networks.proxies import PROXIES, macs, naswot, synflow
from network_samples import architecture, digits

SMALL, LARGE = architecture((2, "classifier", 8)), architecture((0, "conv", 8), (1, "dsconv2", 8), (2, "classifier", 8))


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_a_score_depends_on_its_arguments_alone(name: str) -> None:
    """One seed, one score; more and stronger branches score higher."""
    score = PROXIES[name]
    assert score(LARGE, digits(), 1) == score(LARGE, digits(), 1)
    assert score(LARGE, digits(), 1) > score(SMALL, digits(), 1)


def test_macs_are_those_of_the_shapes() -> None:
    """The naive score counts the backbone and the classifier."""
    assert macs(SMALL, digits()) == SMALL.backbone.macs + 16 * 10


def test_synflow_looks_at_no_data_and_naswot_does() -> None:
    """SynFlow is data-free; NASWOT's kernel is that of the images."""
    dark = type(digits())(**{**vars(digits()), "train_x": torch.zeros_like(digits().train_x)})
    assert synflow(SMALL, dark) == synflow(SMALL, digits())
    assert naswot(SMALL, dark) != naswot(SMALL, digits())
