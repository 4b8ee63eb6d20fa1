"""Training steps replayed as CUDA graphs: small networks spend most of a GPU's time waiting for launches."""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Descend = Callable[[Tensor, Tensor], None]
EAGER_STEPS = 3
"""Steps run as written before one is captured (libraries choose their algorithms then)."""
MOST_GRAPHS = 128
"""Kinds of steps that are captured, each the second time it is met; to capture one costs as much as several steps."""


class StepReplayer:
    """Runs steps of gradient descent, each kind of step by a graph of its own where the data is on a GPU.

    A step must read nothing but (images, labels) of fixed shapes, the network's and the optimiser's tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.enabled = device, device.type == "cuda"
        self.forget()

    def forget(self) -> None:
        """Steps will be captured anew: something that they captured has changed."""
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._met: set[Hashable] = set()
        self._seen = 0

    def run(self, kind: Hashable, step: Descend, images: Tensor, labels: Tensor, *, eager: bool) -> None:
        """Do `step` on a batch; steps of one `kind` must be the same operations."""
        self._seen += 1
        if not self.enabled or eager or self._seen <= EAGER_STEPS or not self._comes_again(kind):
            step(images, labels)
            return
        with torch.cuda.device(self.device):  # graphs are captured, and run, on the current one
            if kind not in self._graphs:
                self._graphs[kind] = self._capture(step, images, labels)
            graph, held_images, held_labels = self._graphs[kind]
            held_images.copy_(images)
            held_labels.copy_(labels)
            graph.replay()

    def _comes_again(self, kind: Hashable) -> bool:
        """Whether `kind` is captured, or has been met before and may be."""
        if kind in self._graphs:
            return True
        before = kind in self._met
        self._met.add(kind)
        return before and len(self._graphs) < MOST_GRAPHS

    def _capture(self, step: Descend, images: Tensor, labels: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        held = images.clone(), labels.clone()
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=pool):
            step(*held)
        return (graph, *held)
