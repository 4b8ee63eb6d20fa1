"""The search space: what it holds, how many, and the way between architectures and genomes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone, Block, Layer
from eenn_rl.errors import InvalidValueError
from eenn_rl.space import BITS, BRANCH, CORE, LOCATION, MOST_EXITS, SearchSpace


def every(space: SearchSpace, batch: int = 977) -> np.ndarray:
    return np.concatenate(list(space.enumerate(batch)))


@pytest.mark.parametrize(
    "changes",
    [
        {"branches": ("linear", "conv"), "max_exits": 3},
        {"branches": ("linear",), "bits": (8,), "max_exits": 4},
        {"branches": ("mlp",), "bits": (2, 3), "max_exits": 2},
        {"max_exits": 1},
        {"branches": ("linear",), "bits": (4,), "max_exits": 9},
    ],
)
def test_size_counts_what_enumerate_yields(changes: dict) -> None:
    """`size` is exactly the number of genomes that `enumerate` yields, all distinct and legal."""
    space = synthetic.space(**changes)
    genomes = every(space)
    assert len(genomes) == space.size
    assert len(np.unique(genomes.reshape(len(genomes), -1), axis=0)) == space.size
    assert space.legal(genomes).all()


def test_size_is_exact_beyond_float_precision() -> None:
    """`size` stays an exact integer where a float could not hold it."""
    space = synthetic.space("mobilenetv2", synthetic.accelerator(((2, 4, 8),) * 4), max_exits=8)
    inner, last = 5 * 3 * 25, 3 * 25
    ways = [1, 11, 55, 165, 330, 462, 462, 330]
    assert space.size == sum(count * inner**k for k, count in enumerate(ways)) * last
    assert space.size > 2**63


def test_more_exits_than_thresholds_can_be_tuned_for_are_refused() -> None:
    """Where there are blocks for them: up to 13 blocks may each have one."""
    assert synthetic.space("mobilenetv2", max_exits=99).exit_slots <= MOST_EXITS
    reads = ((), *((f"conv{block}",) for block in range(19)))
    layers = [Layer(f"conv{block}", "conv", 1, 8, 8, (8, 8), (8, 8), reads=of) for block, of in enumerate(reads)]
    deep = Backbone("deep", tuple(Block(layer.name, (layer,)) for layer in layers), (8, 8, 8), 10)
    with pytest.raises(InvalidValueError, match="max_exits must be at most 13 with 20 blocks, found 14"):
        SearchSpace(deep, synthetic.accelerator(), max_exits=14)


def test_no_legal_genome_is_left_out() -> None:
    """Among all ways to fill a genome, exactly the enumerated ones are legal."""
    space = synthetic.space(branches=("linear",), bits=(4, 8), max_exits=2)
    known = {genome.tobytes() for genome in every(space)}
    rng = np.random.default_rng(1)
    genomes = np.stack([rng.integers(-1, high, (60_000, 2), dtype=np.int16) for high in (4, 1, 3, 5, 5)], axis=2)
    genomes[:, :, BITS] = np.array([-1, 2, 4, 8])[genomes[:, :, BITS] + 1]
    genomes[rng.random(60_000) < 0.3, 1] = -1
    legal = space.legal(genomes)
    assert [genome.tobytes() in known for genome in genomes] == legal.tolist()
    assert legal.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exits=st.integers(1, 5))
def test_encode_and_decode_are_inverse(seed: int, exits: int) -> None:
    """Every sampled genome is legal and survives decoding and encoding."""
    space = synthetic.space(max_exits=exits)
    for genome in space.sample(np.random.default_rng(seed), 20):
        architecture = space.decode(genome)
        assert space.contains(architecture)
        assert np.array_equal(space.encode(architecture), genome)


def test_sampling_is_uniform() -> None:
    """Each architecture of a small space is drawn equally often (chi-square, far beyond chance)."""
    space = synthetic.space(branches=("linear",), bits=(2, 8), max_exits=2)
    genomes = every(space)
    draws = 40 * space.size
    number = {genome.tobytes(): index for index, genome in enumerate(genomes)}
    counts = np.bincount(
        [number[genome.tobytes()] for genome in space.sample(np.random.default_rng(0), draws)], minlength=space.size
    )
    chi_square = ((counts - 40) ** 2 / 40).sum()
    degrees = space.size - 1
    assert abs(chi_square - degrees) < 5 * np.sqrt(2 * degrees)


def test_same_generator_same_sample() -> None:
    """Sampling depends on nothing but the generator."""
    space = synthetic.space()
    first, second = (space.sample(np.random.default_rng(7), 50) for _ in range(2))
    assert np.array_equal(first, second)


def test_static_are_the_networks_without_exits() -> None:
    """`static` lists each placement of the exit-free network once, and none for bits no core knows."""
    space = synthetic.space()
    genomes = space.static(2)
    assert genomes[:, 0, CORE:].tolist() == [[1, 1]]
    assert len(space.static(8)) == 16
    assert (genomes[:, 0, LOCATION] == 3).all()
    assert (genomes[:, 1:] == -1).all()
    assert len(synthetic.space(bits=(8, 16)).static(16)) == 0


def test_bits_live_only_where_the_core_supports_them() -> None:
    """An architecture with bits on a core that lacks them is not in the space."""
    space = synthetic.space()
    good = Architecture(space.backbone, (Exit(3, "classifier", 4, 1, 2),))
    assert space.contains(good)
    for core, branch_core in ((0, 1), (1, 0), (9, 1)):
        assert not space.contains(Architecture(space.backbone, (Exit(3, "classifier", 4, core, branch_core),)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"branches": ()}, "branches"),
        ({"branches": ("linaer",)}, "did you mean linear"),
        ({"bits": (3,)}, "supported by some allocation"),
        ({"bits": (8, 8)}, "distinct"),
        ({"max_exits": 0}, "max_exits"),
    ],
)
def test_impossible_spaces_are_refused(changes: dict, words: str) -> None:
    """A space without any architecture is an error that names the cause."""
    with pytest.raises(InvalidValueError, match=words):
        synthetic.space(**changes)


def test_decode_refuses_what_is_no_architecture() -> None:
    """A genome that breaks a constraint does not become an architecture."""
    space = synthetic.space()
    genome = space.sample(np.random.default_rng(0), 1)[0]
    genome[0, BRANCH] = 7
    with pytest.raises(InvalidValueError, match="genome"):
        space.decode(genome)
