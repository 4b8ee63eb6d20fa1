"""Architectures drawn at random: how many exits (2 to 4) uniformly, then blocks, branches and bits.

    python benchmarks/random_architectures.py resnet8 --count 22 --seed 0 --out FILE.json

Those whose early branches cost more than a tenth of the backbone's multiply-accumulates are not drawn: the default
bound on the overhead of exits would refuse them. Cores do not matter to accuracy; all are 0.
"""

import argparse
from pathlib import Path

import numpy as np
from cifar10_study import write_architectures

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES, CLASSIFIER, branch_layers
from eenn_rl.zoo import BACKBONES, make_backbone

MOST_EXTRA = 0.1


def draw(backbone: Backbone, rng: np.random.Generator, bits: tuple[int, ...] = (2, 4, 8)) -> Architecture:
    """One architecture, whatever its branches cost."""
    last = len(backbone.blocks) - 1
    places = sorted(rng.choice(last, int(rng.integers(1, min(3, last) + 1)), replace=False))
    early = [Exit(int(at), str(rng.choice(BRANCHES)), int(rng.choice(bits)), 0, 0) for at in places]
    return Architecture(backbone, (*early, Exit(last, CLASSIFIER, int(rng.choice(bits)), 0, 0)))


def draw_many(backbone: Backbone, count: int, seed: int) -> list[Architecture]:
    """`count` distinct architectures within the bound."""
    rng, found = np.random.default_rng(seed), dict[tuple[Exit, ...], Architecture]()
    while len(found) < count:
        drawn = draw(backbone, rng)
        early = (branch_layers(backbone, exit_.location, exit_.branch) for exit_ in drawn.exits[:-1])
        if sum(layer.macs for layers in early for layer in layers) <= MOST_EXTRA * backbone.macs:
            found.setdefault(drawn.exits, drawn)
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", choices=sorted(BACKBONES))
    parser.add_argument("--count", type=int, default=22)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_architectures(options.out, draw_many(make_backbone(options.backbone), options.count, options.seed))


if __name__ == "__main__":
    main()
