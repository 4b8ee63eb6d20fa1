"""Tables say what networks do."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eenn_rl.levels import confidence_levels
from eenn_rl.networks import measure
from eenn_rl.networks.confidence import confidence, fit_temperature
from eenn_rl.networks.data import Dataset, crop_and_flip
from eenn_rl.networks.inherit import inherited
from eenn_rl.networks.measure import changes_measured, measure_tables, paths_of_length
from eenn_rl.networks.recalibration import chunked
from eenn_rl.tables import AccuracyTables
from network_samples import MIXED, StopAt, architecture, digits, supernet


@pytest.fixture(scope="module")
def tables() -> AccuracyTables:
    return measure_tables(supernet(), digits())


def test_every_path_and_head_has_a_row(tables: AccuracyTables) -> None:
    """Three blocks, three widths, two branches: (3 + 9) * 2 + 27 rows, samples and images as in the data set."""
    assert tables.rows == (3 + 9) * 2 + 27
    assert tables.samples == 120
    assert tables.images == len(np.unique(digits().validation_groups))


def test_mirrored_images_are_measured_where_training_mirrors() -> None:
    """Twice the samples, of as many images; the second half is what the network says of the mirrored ones."""
    mirrored = replace(digits(), train_x=digits().validation_x, train_y=digits().validation_y, view=crop_and_flip)
    tables = measure_tables(supernet(), mirrored)
    assert (tables.samples, tables.images) == (240, len(np.unique(digits().validation_groups)))
    holds_what_the_network_does(tables, mirrored, MIXED)


@pytest.mark.parametrize("exits", [MIXED, ((0, "dsconv", 4), (2, "classifier", 2)), ((2, "classifier", 8),)])
def test_a_row_is_what_the_network_does(tables: AccuracyTables, exits: tuple[tuple[int, str, int], ...]) -> None:
    """Each exit of an architecture with inherited weights agrees with its row, image by image."""
    holds_what_the_network_does(tables, digits(), exits)


def holds_what_the_network_does(
    tables: AccuracyTables, dataset: Dataset, exits: tuple[tuple[int, str, int], ...]
) -> None:
    """Assert it, on the images that networks are judged by."""
    drawn, (images, labels, _) = architecture(*exits), dataset.judged_images()
    logits = torch.from_numpy(inherited(supernet(), drawn, dataset).logits(dataset, images))
    path = np.zeros(3, np.uint8)
    first = 0
    for number, exit_ in enumerate(drawn.exits):
        path[first : exit_.location + 1], first = exit_.bits, exit_.location + 1
        branch = -1 if exit_.location == 2 else tables.branches.index(exit_.branch)
        (row,) = np.flatnonzero(
            (tables.row_location == exit_.location)
            & (tables.row_branch == branch)
            & (tables.row_bits == np.where(np.arange(3) <= exit_.location, path, 0)).all(1)
        )
        right = (logits[number].argmax(1) == labels).numpy()
        assert (tables.correct[row] == right).all()
        levels = confidence_levels(confidence(logits[number], "max_softmax", float(tables.temperatures[row])).numpy())
        assert (tables.confidence[row] == levels).all()


def test_measuring_again_gives_the_same(tables: AccuracyTables) -> None:
    """Measuring does not depend on what was measured before."""
    assert measure_tables(supernet(), digits()).fingerprint == tables.fingerprint


def test_interrupted_measuring_ends_where_the_uninterrupted_one_does(
    tables: AccuracyTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice and continued, the tables are the same; what was measured is not measured again."""
    monkeypatch.setattr(measure, "SAVE_EVERY_S", 0.0)
    checkpoint = tmp_path / "measuring.pt"
    for rows in (4, 22):
        with pytest.raises(KeyboardInterrupt):
            measure_tables(supernet(), digits(), progress=StopAt(rows), checkpoint=checkpoint)
    resumed = measure_tables(supernet(), digits(), checkpoint=checkpoint)
    assert resumed.fingerprint == tables.fingerprint
    monkeypatch.setattr(measure, "confidence", None)
    assert measure_tables(supernet(), digits(), checkpoint=checkpoint).fingerprint == tables.fingerprint


def test_paths_with_few_changes_are_kept_where_all_are_too_many() -> None:
    """`changes` bounds how often bits change; for ten blocks only paths with one change fit, for four all do."""
    assert len(list(paths_of_length(4, (2, 4, 8), 3))) == 81
    assert all(sum(a != b for a, b in itertools.pairwise(p)) <= 1 for p in paths_of_length(10, (2, 4, 8), 1))
    assert changes_measured(4, (2, 4, 8), 5) == 3
    assert changes_measured(10, (2, 4, 8), 5) == 1


@pytest.mark.parametrize("rule", ["max_softmax", "margin", "entropy"])
def test_confidence_rules(rule: str) -> None:
    """Every rule is 1 for certainty, least for indifference, and falls as the temperature rises."""
    logits = torch.tensor([[50.0, 0, 0, 0], [1, 1, 1, 1], [2, 1, 0, 0]])
    sure = confidence(logits, rule)  # type: ignore[arg-type]
    assert float(sure[0]) == pytest.approx(1, abs=1e-6)
    assert float(sure[1]) == pytest.approx(0.25 if rule == "max_softmax" else 0, abs=1e-6)
    assert sure[0] > sure[2] > sure[1]
    assert confidence(logits, rule, 2.0)[2] < sure[2]  # type: ignore[arg-type]


def test_temperature_undoes_overconfidence() -> None:
    """Logits twice too large get a temperature of about two."""
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 5, generator=generator) * 1.5
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    assert fit_temperature(honest, labels) == pytest.approx(1, rel=0.1)
    assert fit_temperature(honest * 1.8, labels) == pytest.approx(1.8, rel=0.12)


@pytest.mark.parametrize("images", [1, 499, 500, 512, 1024, 2048])
def test_images_pass_in_even_chunks(images: int) -> None:
    """Statistics are plain averages over chunks: a small last one would weigh as much as the others."""
    sizes: list[int] = []

    def note(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        sizes.append(len(values[""]))
        return values

    whole = torch.arange(images)
    assert torch.equal(chunked({"": whole}, note)[""], whole)
    assert sum(sizes) == images
    assert max(sizes) <= 500
    assert max(sizes) - min(sizes) <= 1
