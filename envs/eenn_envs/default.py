"""The problem that ``EENNEnv()`` stands for."""

from eenn_rl.config import RunConfig
from eenn_rl.evaluator import Evaluator
from eenn_rl.problem import make_evaluator, shipped_tables


def default_evaluator() -> Evaluator:
    """Handwritten digits, ResNet-8, four Edge-TPU-like cores, backend multicore: measured tables from the package."""
    config = RunConfig()
    return make_evaluator(config, shipped_tables(config.dataset, config.backbone))
