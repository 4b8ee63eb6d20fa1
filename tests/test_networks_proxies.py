"""Training-free scores, and accuracy tables guessed from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eenn_rl.errors import InvalidValueError
from eenn_rl.levels import LEVEL_EDGES
from eenn_rl.networks.guess import DROP, TOP, guess_tables
from eenn_rl.networks.proxies import PROXIES, Subject, macs, naswot, synflow
from network_samples import BRANCHES, architecture, digits, small_backbone

SMALL = Subject.of(architecture((2, "classifier", 8)))
LARGE = Subject.of(architecture((0, "conv", 8), (1, "dsconv2", 8), (2, "classifier", 8)))


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


@pytest.mark.parametrize("proxy", sorted(PROXIES))
def test_guessed_tables_order_exits_as_the_score_does(proxy: str) -> None:
    """More of the score, more accuracy; the same seed, the same tables; confidences are calibrated as promised."""
    backbone = small_backbone()
    tables = guess_tables(proxy, backbone, digits(), 1, branches=BRANCHES, bits=(4,))
    heads = [(int(at), int(kind)) for at, kind in zip(tables.row_location, tables.row_branch, strict=True)]
    assert heads == [(0, 0), (0, 1), (1, 0), (1, 1), (2, -1)]
    scores = [
        PROXIES[proxy](Subject(backbone, (4,) * (at + 1), ((at, "classifier" if kind < 0 else BRANCHES[kind]),)),
                       digits(), 1)
        for at, kind in heads
    ]  # fmt: skip
    accuracies = tables.correct.mean(1)
    assert accuracies[np.argmin(scores)] == pytest.approx(TOP - DROP, abs=0.04)
    assert accuracies[-1] == pytest.approx(TOP, abs=0.04)
    assert all(accuracies[np.argmax(scores)] >= accuracies - 0.04)
    sure = tables.confidence >= np.searchsorted(LEVEL_EDGES, 0.9)
    assert tables.correct[sure].mean() > 0.9
    again = guess_tables(proxy, backbone, digits(), 1, branches=BRANCHES, bits=(4,))
    assert again.fingerprint == tables.fingerprint
    assert proxy in tables.notes


def test_a_backbone_without_activations_can_be_guessed() -> None:
    """NASWOT tells its images apart by nothing: such exits have the lowest accuracy, and no number is missing."""
    backbone = small_backbone()
    still = [replace(b, layers=tuple(replace(x, activation="none") for x in b.layers)) for b in backbone.blocks]
    for blocks in (still, [still[0], *backbone.blocks[1:]]):
        changed = replace(backbone, blocks=tuple(blocks))
        tables = guess_tables("naswot", changed, digits(), branches=("linear",))
        accuracies = tables.correct.mean(1)
        assert accuracies[-1] == pytest.approx(TOP, abs=0.04)
        assert accuracies[0] == pytest.approx(TOP if blocks is still else TOP - DROP, abs=0.04)


def test_a_guess_takes_one_width_and_a_known_score() -> None:
    """What a training-free score cannot see is refused."""
    with pytest.raises(InvalidValueError, match="one width"):
        guess_tables("macs", small_backbone(), digits(), bits=(4, 8))
    with pytest.raises(InvalidValueError, match="naswot"):
        guess_tables("zen", small_backbone(), digits())
