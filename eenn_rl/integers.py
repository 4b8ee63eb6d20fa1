"""The integers that an activation is rounded to: the same in training and in what is exported. No torch here."""


def activation_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Least and greatest integer of an activation at `bits`."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
