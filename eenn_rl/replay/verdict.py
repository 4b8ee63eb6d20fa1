"""ReplayResult: what a replay found, and whether the log or the code is the other one."""

from dataclasses import dataclass, field
from typing import Literal

from eenn_rl.trajectory import Difference

Verdict = Literal["identical", "altered", "other"]


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found.

    `differing` episodes came out otherwise, the first at `first`. `broken` episodes do not fit the digests written
    with them (the first few are listed), `altered_parts` of the description neither, `altered_verifications` not their
    seals, or not their own records. `changes` are what is known to be
    different here: versions, the costs or accuracies of the static networks.
    """

    episodes: int
    steps: int
    seconds: float
    differing: int = 0
    first: Difference | None = None
    broken: int = 0
    broken_episodes: tuple[int, ...] = ()
    altered_parts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    versions: tuple[str, ...] = field(default=())
    altered_verifications: tuple[int, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`identical`; `altered`: the log is not what was written; `other`: it is, but here runs something else.

        Digests keep what was written apart from what was changed later. A log whose digests were forged too is told
        by the same code: what differs in few episodes, with no known change of the code, was altered.
        """
        if self.broken or self.altered_parts or self.altered_verifications:
            return "altered"
        if not self.differing:
            return "identical"
        known = self.changes or self.versions
        return "other" if known or 2 * self.differing > self.episodes else "altered"

    @property
    def exit_status(self) -> int:
        """0 for an identical log, else 1."""
        return 0 if self.verdict == "identical" else 1

    @property
    def steps_per_second(self) -> float:
        """Speed of the replay."""
        return self.steps / self.seconds if self.seconds else 0.0

    def lines(self) -> list[str]:
        """The result for a person."""
        counted = f"{self.episodes:,} episodes, {self.steps:,} steps in {self.seconds:.2f} s"
        speed = f"({self.steps_per_second:,.0f} steps/s)"
        lines = [{"identical": "identical", "altered": "ALTERED", "other": "OTHER CODE"}[self.verdict]]
        lines[0] += f": {counted} {speed}; {self.differing:,} differ"
        if self.first:
            lines.append(f"first difference: {self.first}")
        lines += {"identical": [], "altered": self._altered(), "other": self._other()}[self.verdict]
        if self.verdict == "identical":
            lines += [f"note: equal although {change}" for change in self.versions]
        return lines

    def _altered(self) -> list[str]:
        lines = ["the log was altered after it was written:"]
        if self.altered_parts:
            lines.append(f"  its description does not fit its digests: {', '.join(self.altered_parts)}")
        if self.broken:
            named = ", ".join(map(str, self.broken_episodes))
            more = f" and {self.broken - len(self.broken_episodes):,} more" * (self.broken > len(self.broken_episodes))
            lines.append(f"  episodes that do not fit their digests: {named}{more}")
        if self.altered_verifications:
            rows = ", ".join(map(str, self.altered_verifications))
            lines.append(f"  verifications that do not fit their records and seals: {rows}")
        if not self.broken and not self.altered_parts and not self.altered_verifications:
            lines.append("  this very code gives other values for few of its episodes")
        return lines

    def _other(self) -> list[str]:
        lines = ["the log is as it was written; what runs here is not what wrote it:"]
        lines += [f"  {change}" for change in (*self.changes, *self.versions)]
        if not self.changes and not self.versions:
            lines.append(
                "  same versions, other values: the code was changed without a new version, or the machine is another"
            )
        return lines
