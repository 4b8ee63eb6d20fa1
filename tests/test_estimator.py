"""The estimator: any architecture's accuracy, exit rates and thresholds from tables."""

import numpy as np
import pytest

import measured_problem
import synthetic
from eenn_rl import estimator as estimator_module
from eenn_rl import frontiers
from eenn_rl.errors import InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.levels import threshold_of
from eenn_rl.rows import approximation_error
from eenn_rl.space import BITS, BRANCH, LOCATION, Genomes
from eenn_rl.tuning import Demands, frontier, leave_at

SPACE = synthetic.quad()
TABLES = measured_problem.tables(SPACE.backbone)
DEMANDS = Demands(int(0.9 * TABLES.samples), 12)


def sampled(n: int, seed: int = 0) -> Genomes:
    return SPACE.sample(np.random.default_rng(seed), n)


def weights_of(genomes: Genomes, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(genomes[:, :, LOCATION] >= 0, np.cumsum(rng.random(genomes.shape[:2]) + 0.05, axis=1), 0.0)


def test_rows_are_those_of_the_path_of_bits() -> None:
    """Each exit stands on the row of its location and branch whose bits are those of every block before it."""
    genomes = sampled(300)
    rows = Estimator(TABLES).rows(genomes)
    for genome, found in zip(genomes, rows, strict=True):
        path: list[int] = []
        for exit_, row in zip(genome, found, strict=True):
            if exit_[LOCATION] < 0:
                assert row == -1
                continue
            path += [int(exit_[BITS])] * (int(exit_[LOCATION]) + 1 - len(path))
            assert (TABLES.row_location[row], TABLES.row_branch[row]) == (exit_[LOCATION], exit_[BRANCH])
            assert TABLES.row_bits[row].tolist() == path + [0] * (4 - len(path))
    assert not Estimator(TABLES).approximated(genomes).any()


def test_a_path_that_was_not_measured_stands_on_the_nearest() -> None:
    """The nearest path differs least in log2 of bits; of equals the one that agrees at later blocks."""
    few = measured_problem.tables(SPACE.backbone, paths=3)
    estimator = Estimator(few)
    genomes = SPACE.static(8)[:1].repeat(2, axis=0)
    genomes[0, 0, :3] = (1, 0, 4)
    genomes[0, 1] = (3, -1, 8, 0, 0)
    rows = estimator.rows(genomes)
    assert few.row_bits[rows[0, 0]].tolist() == [4, 4, 0, 0]
    assert few.row_bits[rows[0, 1]].tolist() == [8, 8, 8, 8]
    assert estimator.approximated(genomes)[:, :2].tolist() == [[False, True], [False, False]]
    estimate = estimator.estimate(genomes[0], np.array([30, 0, 0, 0], np.uint8))
    assert estimate.origin.startswith("~tables:synthetic:")
    assert Estimator(TABLES).estimate(genomes[0], np.array([30, 0, 0, 0], np.uint8)).origin.startswith("tables:")


def test_the_error_of_the_nearest_row_is_measured() -> None:
    """Leaving each mixed row out: the accuracy of its neighbour is near, and more measured paths come nearer."""
    large = synthetic.space("resnet20").backbone
    errors = [approximation_error(measured_problem.tables(large, 400, ("linear",), paths=n)) for n in (6, 40)]
    assert [error.rows > 0 for error in errors] == [True, True]
    assert 0 < errors[1].accuracy < errors[0].accuracy < 0.2
    assert 0 < errors[1].disagreement < 0.5
    assert errors[1].level > 0
    uniform = measured_problem.tables(large, 50, ("linear",), paths=3)
    assert approximation_error(uniform).rows == 0, "only mixed paths are ever approximated"


def test_a_choice_is_what_its_thresholds_do() -> None:
    """Accuracy, rates and exit accuracies of a batch are those of counting every sample at the chosen levels."""
    genomes = sampled(400)
    estimator = Estimator(TABLES)
    choice = estimator.choose(genomes, weights_of(genomes), DEMANDS)
    for i, genome in enumerate(genomes):
        estimate = estimator.estimate(genome, choice.levels[i])
        used = len(estimate.exit_rates)
        assert estimate.accuracy == choice.accuracy[i]
        assert estimate.exit_rates == tuple(choice.exit_rates[i, :used])
        assert estimate.exit_accuracies == tuple(choice.exit_accuracies[i, :used])
        assert estimate.thresholds == tuple(threshold_of(choice.levels[i, :used]))
        assert not choice.exit_rates[i, used:].any()


def test_the_cheapest_feasible_setting_is_chosen() -> None:
    """Of the frontier's settings each architecture gets the one of least expected weight for its own costs."""
    genomes, estimator = sampled(200, 1), Estimator(TABLES)
    weights = weights_of(genomes, 1)
    choice = estimator.choose(genomes, weights, DEMANDS)
    several = 0
    for i, padded in enumerate(estimator.rows(genomes)):
        rows = padded[padded >= 0]
        found = frontier(TABLES.confidence[rows], TABLES.correct[rows], DEMANDS)
        costs = found.counts @ weights[i, : len(rows)]
        several += len(costs) > 1
        left = leave_at(TABLES.confidence[rows], choice.levels[i, : len(rows)])
        assert np.bincount(left, minlength=len(rows)) @ weights[i, : len(rows)] == pytest.approx(costs.min())
    assert several > 20


@pytest.mark.parametrize("mode", ["per_exit", "global"])
def test_a_batch_gives_each_what_it_gets_alone(mode: str) -> None:
    """Alone, in a batch, in another order, and after others were forgotten: the same to the last bit."""
    genomes = sampled(150, 2)
    weights = weights_of(genomes)
    whole = Estimator(TABLES, mode).choose(genomes, weights, DEMANDS)  # type: ignore[arg-type]
    alone, order = Estimator(TABLES, mode), np.random.default_rng(0).permutation(150)  # type: ignore[arg-type]
    for i in order.tolist():
        one = alone.choose(genomes[i : i + 1], weights[i : i + 1], DEMANDS)
        for name in ("accuracy", "exit_rates", "exit_accuracies", "levels"):
            assert (getattr(one, name)[0] == getattr(whole, name)[i]).all()


def test_forgotten_frontiers_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is bounded: beyond its bound it starts anew, and answers do not change."""
    genomes = sampled(300, 3)
    weights = weights_of(genomes)
    whole = Estimator(TABLES).choose(genomes, weights, DEMANDS)
    monkeypatch.setattr(frontiers, "MOST_PROFILES", 40)
    small = Estimator(TABLES)
    for start in range(0, 300, 30):
        part = small.choose(genomes[start : start + 30], weights[start : start + 30], DEMANDS)
        assert (part.levels == whole.levels[start : start + 30]).all()


def test_the_demands_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many objectives can share an estimator: what the oldest made it tune is forgotten, and answers stay."""
    monkeypatch.setattr(estimator_module, "MOST_DEMANDS", 2)
    genomes, shared = sampled(20, 5), Estimator(TABLES)
    asked = [Demands(right, 12) for right in (500, 520, 540, 500)]
    found = [shared.choose(genomes, weights_of(genomes), demands).levels for demands in asked]
    assert (found[0] == found[3]).all()
    assert (found[0] != found[2]).any()
    assert len(shared._stores) == 2


def test_one_global_threshold_per_architecture() -> None:
    """In global mode all early exits of an architecture share one threshold."""
    genomes = sampled(50, 4)
    choice = Estimator(TABLES, "global").choose(genomes, weights_of(genomes), DEMANDS)
    for i, genome in enumerate(genomes):
        early = int((genome[:, LOCATION] >= 0).sum()) - 1
        assert len(set(choice.levels[i, :early].tolist())) <= 1
        assert not choice.levels[i, early:].any()


def test_static_accuracy_is_the_classifiers() -> None:
    """Without exits the accuracy is that of the classifier's row at these bits."""
    for bits in (2, 4, 8):
        (row,) = np.flatnonzero((TABLES.row_location == 3) & (TABLES.row_bits == bits).all(1))
        assert Estimator(TABLES).static_accuracy(bits) == TABLES.correct[row].mean()


def test_what_the_tables_lack_is_named() -> None:
    """An exit that was never measured cannot be estimated; a mode that does not exist is refused."""
    only = measured_problem.tables(SPACE.backbone, 50, ("linear",))
    genome = SPACE.static(8)[:1].copy()
    genome[0, 0] = (1, 3, 8, 0, 0)
    genome[0, 1] = (3, -1, 8, 0, 0)
    with pytest.raises(InvalidValueError, match="no row for branch 3 at block 1"):
        Estimator(only).rows(genome)
    with pytest.raises(InvalidValueError, match="per_exit"):
        Estimator(only, "some")  # type: ignore[arg-type]
