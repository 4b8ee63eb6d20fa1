"""The analytical multi-core backend."""
