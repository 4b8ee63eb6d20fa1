"""A whole real run for tests of what comes after one: searched, trained in full (for five epochs) and verified.

Only its accuracy tables are drawn at random, so that it takes seconds. Made once per test session.
"""

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from eenn_rl.run import train
from eenn_rl.verify import verify_run
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables


@cache
def scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="eenn-small-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def small_run(seed: int = 0) -> Path:
    """The run folder."""
    tables = scratch() / f"tables{seed}.npz"
    replace(random_tables(make_backbone("resnet8", (1, 16, 16), 10), seed), dataset="digits").save(tables)
    given = {
        "tables": str(tables),
        "seed": seed,
        "verify": 2,
        "bits": [4, 8],
        "workers": 1,
        "search": {"budget": 200, "agent": "local"},
        "objective": {"accuracy_tolerance": 0.1},
        "training": {"epochs": 5},
    }
    folder = train(given, run=scratch() / f"run{seed}", resume=False, config=None)
    verify_run(folder.path, 2)
    assert list(folder.weights.glob("*.plain")), "its tables were given: there are no shared weights to begin with"
    return folder.path
