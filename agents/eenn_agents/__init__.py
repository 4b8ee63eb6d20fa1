"""PPO and the baselines it must beat."""
