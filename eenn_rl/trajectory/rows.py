"""Rows: episodes as flat columns, ready to append; their digests; the first difference between two."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.trajectory.schema import DIGEST_BYTES, EPISODES, STEPS

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]
UNSEALED = bytes(DIGEST_BYTES)
"""What stands before the first episode's digest."""

_SEALED = tuple(column.name for column in EPISODES if column.compared)


@dataclass(frozen=True)
class Rows:
    """Whole episodes: `steps` [s, ...] one after the other, `episodes` [n, ...]; columns as in the schema."""

    steps: Columns
    episodes: Columns

    def __len__(self) -> int:
        return len(self.episodes["length"])

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each episode's steps begin here, and where the last one's end: [n + 1]."""
        return np.concatenate([[0], np.cumsum(self.episodes["length"], dtype=np.int64)])

    def part(self, start: int, stop: int) -> "Rows":
        """Episodes start..stop-1, as views."""
        first, last = self.offsets[start], self.offsets[stop]
        return Rows(
            {name: column[first:last] for name, column in self.steps.items()},
            {name: column[start:stop] for name, column in self.episodes.items()},
        )


@dataclass(frozen=True)
class Difference:
    """The first place where two logs of the same episodes part; `step` None: a value of the whole episode."""

    episode: int
    step: int | None
    field: str
    logged: str
    found: str

    def __str__(self) -> str:
        where = f"episode {self.episode}" + ("" if self.step is None else f", step {self.step}")
        return f"{where}, {self.field}: logged {self.logged}, found {self.found}"


def as_bytes(column: Array) -> npt.NDArray[np.uint8]:
    """A column as its bytes, uint8 [rows, bytes]: equality of these is equality bit for bit."""
    flat = np.ascontiguousarray(column)
    return flat.reshape(len(flat), -1).view(np.uint8) if flat.size else np.zeros((len(flat), 0), np.uint8)


def digests(rows: Rows, before: bytes) -> npt.NDArray[np.uint8]:
    """BLAKE2b of each episode's content and of the digest before it, uint8 [n, DIGEST_BYTES]: a chain."""
    sealed = np.concatenate([as_bytes(rows.episodes[name]) for name in _SEALED], axis=1)
    steps = [as_bytes(rows.steps[column.name]) for column in STEPS]
    offsets = rows.offsets.tolist()
    chain = []
    for episode in range(len(rows)):
        state = hashlib.blake2b(before, digest_size=DIGEST_BYTES)
        state.update(sealed[episode].data)
        for column in steps:
            state.update(column[offsets[episode] : offsets[episode + 1]].data)
        before = state.digest()
        chain.append(before)
    return np.frombuffer(b"".join(chain), np.uint8).reshape(-1, DIGEST_BYTES)


def broken_links(rows: Rows, before: bytes) -> npt.NDArray[np.intp]:
    """Episodes of `rows` whose content does not fit their stored digest and the one stored before it."""
    stored = rows.episodes["digest"]
    previous = [before, *(bytes(link) for link in stored[:-1])]
    broken = [
        episode for episode, link in enumerate(previous)
        if not np.array_equal(digests(rows.part(episode, episode + 1), link)[0], stored[episode])
    ]  # fmt: skip
    return np.array(broken, np.intp)


def first_difference(logged: Rows, found: Rows, first_episode: int) -> Difference | None:
    """The first difference, bit for bit, in episode order; None where there is none. Both hold the same episodes."""
    lengths = _first_episode_difference(logged, found, "length")
    whole = len(logged) if lengths is None else lengths
    candidates = [_in_steps(logged.part(0, whole), found.part(0, whole), column.name) for column in STEPS]
    candidates += [_in_episodes(logged, found, column.name) for column in EPISODES if column.compared]
    found_any = [(c.episode, c.step if c.step is not None else 1 << 62, i, c) for i, c in enumerate(candidates) if c]
    if not found_any:
        return None
    first = min(found_any, key=lambda item: item[:3])[3]
    return Difference(first_episode + first.episode, first.step, first.field, first.logged, first.found)


def _first_episode_difference(logged: Rows, found: Rows, name: str) -> int | None:
    differs = (as_bytes(logged.episodes[name]) != as_bytes(found.episodes[name])).any(1)
    return int(differs.argmax()) if differs.any() else None


def _in_episodes(logged: Rows, found: Rows, name: str) -> Difference | None:
    episode = _first_episode_difference(logged, found, name)
    if episode is None:
        return None
    return Difference(episode, None, name, *_values(logged.episodes[name][episode], found.episodes[name][episode]))


def _in_steps(logged: Rows, found: Rows, name: str) -> Difference | None:
    differs = (as_bytes(logged.steps[name]) != as_bytes(found.steps[name])).any(1)
    if not differs.any():
        return None
    row = int(differs.argmax())
    offsets = logged.offsets
    episode = int(np.searchsorted(offsets, row, side="right")) - 1
    values = _values(logged.steps[name][row], found.steps[name][row])
    return Difference(episode, row - int(offsets[episode]), name, *values)


def _values(logged: Any, found: Any) -> tuple[str, str]:
    """The two values, or their first unequal element, so that a person sees the difference."""
    left, right = np.atleast_1d(logged).ravel(), np.atleast_1d(found).ravel()
    at = int((as_bytes(left) != as_bytes(right)).any(1).argmax())
    label = f"[{at}] " if left.size > 1 else ""
    return label + repr(left[at].item()), label + repr(right[at].item())
