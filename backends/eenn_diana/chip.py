"""Which allocation of an accelerator is which of the chip's two cores; the chip itself is the shipped file `diana`."""

from eenn_diana import parameters as p
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import AcceleratorSpec

NAME = "diana"
DIGITAL, ANALOG = "digital", "analog"
BITS = {DIGITAL: (p.DIGITAL_BITS,), ANALOG: (p.ANALOG_BITS,)}
"""What each core computes at: the choice of the core fixes the bits."""


def allocations_of(accelerator: AcceleratorSpec) -> tuple[str, ...]:
    """For each allocation which of the chip's two cores it is.

    Raises:
        InvalidValueError: `accelerator` is another chip.
    """
    count = len(accelerator.allocations)
    names = tuple(accelerator.allocation_name(index) for index in range(count))
    bits = (accelerator.allocation_bits(index) for index in range(count))
    if any(BITS.get(name) != found for name, found in zip(names, bits, strict=True)):
        raise InvalidValueError(
            f"accelerator {accelerator.name!r}: expected the chip {NAME!r}, whose allocations are single cores called "
            f"digital (8 bits) and analog (2 bits), found {', '.join(names)}: give --accelerator {NAME}"
        )
    return names
