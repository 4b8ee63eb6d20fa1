"""What energies, latencies and powers a chip may plausibly have: far off, and a backend has its units wrong."""

from dataclasses import dataclass

from eenn_rl.errors import check

Range = tuple[float, float]


@dataclass(frozen=True)
class Plausible:
    """Lowest and highest plausible cost of a network up to an exit, both included: over its MACs, and as a power.

    `energy_per_mac_j`: an 8-bit multiplication takes 0.2 pJ in 45 nm, a byte from DRAM about 200 pJ (Horowitz, ISSCC
    2014); the lowest is a tenth of what in-memory computing reaches (1 fJ), the highest ten times a microcontroller's
    (100 pJ a cycle, ten cycles a MAC). Microjoules are found from 0.01 pJ a MAC on, picojoules always.
    `latency_per_mac_s`: from 10 peta-MAC/s, several of the largest GPUs, down to 5 million, a microcontroller of 50 MHz
    and ten cycles a MAC. Milliseconds are found of chips that do at most 5 giga-MAC/s, microseconds up to 5 tera-MAC/s.
    `power_w`: from 1 uW, a sensor node's, to 1 kW, more than one board's. One cost in another unit than the other shows
    here: microjoules beside seconds from 1 mW on.
    A chip that really is beyond them is tried with ranges of its own.
    """

    energy_per_mac_j: Range = (1e-16, 1e-8)
    latency_per_mac_s: Range = (1e-16, 2e-7)
    power_w: Range = (1e-6, 1e3)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            check(0 <= low < high, f"plausible {name}", (low, high), "a lower and a higher bound, from 0 on")
