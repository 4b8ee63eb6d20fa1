"""eenn-rl: reinforcement learning that designs early-exit neural networks for multi-core edge accelerators."""

__version__ = "0.1.0"
