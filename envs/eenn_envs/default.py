"""The problems that ``EENNEnv()`` and ``EENNEnv(accelerator=...)`` stand for."""

import os
from collections.abc import Mapping
from typing import Any

from eenn_rl.config import RunConfig
from eenn_rl.evaluator import Evaluator
from eenn_rl.problem import make_evaluator, on_data_of_tables, tables_or_shipped
from eenn_rl.serialization import from_json


def default_evaluator() -> Evaluator:
    """Handwritten digits, ResNet-8, four Edge-TPU-like cores, backend multicore: measured tables from the package."""
    return evaluator_of({})


def evaluator_of(settings: Mapping[str, Any]) -> Evaluator:
    """The problem of these settings of `RunConfig`, as `eenn-rl propose` takes it from its options.

    Tables are those that the settings name, else those that are shipped for their data set and backbone; a file of
    tables brings its own data set where none is named.
    """
    plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in settings.items()}
    config = from_json(RunConfig, plain, "settings of the environment")
    if "dataset" not in plain:
        config = on_data_of_tables(config)
    return make_evaluator(config, tables_or_shipped(config))
