"""The DIANA backend: a digital core and an analog in-memory core on one chip (Ueyoshi et al., ISSCC 2022)."""
