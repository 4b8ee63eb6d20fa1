"""Accuracy tables for a backbone out of another's: what an exit answers is what the other's exit at like depth answers.

    python benchmarks/borrowed_tables.py TABLES BACKBONE OUT

An exit after block l of L stands on the row of the other backbone's block at the same share of its depth, of the same
branch and of the same bits along the path. Nothing of it is a measurement of BACKBONE, and no network is to be judged
by it: it is a plausible landscape, accuracy that rises with depth and falls with bits, to pretrain a policy on where
training shared weights would take long.
"""

import argparse
from pathlib import Path

import numpy as np

from eenn_rl.networks.measure import changes_measured, paths_of_length
from eenn_rl.rows import RowFinder
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone


def borrowed(source: AccuracyTables, name: str) -> AccuracyTables:
    """Tables of backbone `name` for the images of `source`, with its branches, bits and answers."""
    backbone = make_backbone(name, source.backbone.input_shape, source.backbone.num_classes)
    last, depth, finder = len(backbone.blocks) - 1, len(source.backbone.blocks) - 1, RowFinder(source)
    changes = changes_measured(last + 1, source.bits, len(source.branches))
    rows, taken = [], []
    for location in range(last + 1):
        at = depth if location == last else round(location * (depth - 1) / (last - 1))
        for path in paths_of_length(location + 1, source.bits, changes):
            met = tuple(path[round(block * location / max(at, 1))] for block in range(at + 1))
            for branch in [-1] if location == last else range(len(source.branches)):
                rows.append((location, branch, [*path, *[0] * (last - location)]))
                taken.append(finder.nearest(met, at, branch)[0])
    places, branches, bits = zip(*rows, strict=True)
    return AccuracyTables(
        backbone=backbone,
        branches=source.branches,
        bits=source.bits,
        dataset=source.dataset,
        confidence_rule=source.confidence_rule,
        row_location=np.array(places, np.int16),
        row_branch=np.array(branches, np.int16),
        row_bits=np.array(bits, np.uint8),
        confidence=source.confidence[taken],
        correct=source.correct[taken],
        temperatures=source.temperatures[taken],
        notes=f"borrowed from {source.backbone.name} ({source.fingerprint[:12]}), not measured",
        independent_samples=source.independent_samples,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tables", type=Path)
    options.add_argument("backbone")
    options.add_argument("out", type=Path)
    arguments = options.parse_args()
    borrowed(AccuracyTables.load(arguments.tables), arguments.backbone).save(arguments.out)


if __name__ == "__main__":
    main()
