"""How sure an exit is, in 0..1, and the temperature that makes it honest."""

import torch
from torch import Tensor
from torch.nn import functional

from eenn_rl.errors import unknown_name
from eenn_rl.tables import CONFIDENCE_RULES, ConfidenceRule


def confidence(logits: Tensor, rule: ConfidenceRule = "max_softmax", temperature: float = 1.0) -> Tensor:
    """Confidence of each row of `logits` [..., classes]: float in 0..1.

    `max_softmax`: the greatest probability. `margin`: the greatest less the second. `entropy`: one less the entropy
    over its greatest value (BranchyNet, Teerapittayanon et al. 2016).
    """
    probabilities = functional.softmax(logits.float() / temperature, -1)
    if rule == "max_softmax":
        return probabilities.amax(-1)
    if rule == "margin":
        top = probabilities.topk(2, -1).values
        return top[..., 0] - top[..., 1]
    if rule == "entropy":
        entropy = -(probabilities * probabilities.clamp_min(1e-12).log()).sum(-1)
        return (1 - entropy / torch.log(torch.tensor(float(logits.shape[-1])))).clamp(0, 1)
    raise unknown_name("confidence rule", rule, CONFIDENCE_RULES)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature of least cross-entropy (Guo et al. 2017), of 17 from 1/2 to 2, evenly spaced in logarithm."""
    temperatures = torch.logspace(-1, 1, 17, base=2.0)
    losses = torch.stack([functional.cross_entropy(logits.float() / float(t), labels) for t in temperatures])
    return float(temperatures[losses.argmin()])
