"""Evaluator: architecture -> estimate and cost -> reward; single and batch; remembers what it has seen."""

from eenn_rl.evaluation import Evaluation, EvaluationBatch
from eenn_rl.objective import VIOLATIONS

__all__ = ["VIOLATIONS", "Evaluation", "EvaluationBatch"]
