"""Rows: episodes as flat columns, ready to append; their digests; the first difference between two."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.trajectory.schema import DIGEST_BYTES, EPISODES, FLAGS, PACKED_STEPS, STEPS

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]
UNSEALED = bytes(DIGEST_BYTES)
"""What stands before the first episode's digest."""

_SEALED = tuple(column.name for column in EPISODES if column.compared)


@dataclass(frozen=True)
class Rows:
    """Whole episodes: `steps` [s, ...] one after the other, `episodes` [n, ...]; columns as in the schema.

    Steps hold what a step is (`STEPS`), what is stored of it (`PACKED_STEPS`), or both.
    """

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
    """A chain: SHA-256 of the digest before and the episode's content, cut to uint8 [n, DIGEST_BYTES]."""
    chain = [before := _link(before, content) for content in _contents(rows)]
    return np.frombuffer(b"".join(chain), np.uint8).reshape(-1, DIGEST_BYTES)


def broken_links(rows: Rows, before: bytes) -> npt.NDArray[np.intp]:
    """Episodes of `rows` whose content does not fit their stored digest and the one stored before it."""
    stored = [link.tobytes() for link in rows.episodes["digest"]]
    previous = [before, *stored[:-1]]
    found = zip(previous, _contents(rows), stored, strict=True)
    return np.array([i for i, (last, content, link) in enumerate(found) if _link(last, content) != link], np.intp)


def _link(before: bytes, content: tuple[memoryview, ...]) -> bytes:
    state = hashlib.sha256(before)
    for part in content:
        state.update(part)
    return state.digest()[:DIGEST_BYTES]


def _contents(rows: Rows) -> Iterator[tuple[memoryview, ...]]:
    """The bytes that each episode's digest covers: of packed steps row by row, else column by column."""
    sealed = np.concatenate([as_bytes(rows.episodes[name]) for name in _SEALED], axis=1)
    packed = FLAGS in rows.steps
    steps = [as_bytes(rows.steps[column.name]) for column in (PACKED_STEPS if packed else STEPS)]
    if packed:
        steps = [np.concatenate(steps, axis=1)]
    offsets = rows.offsets
    parts = [_cut(sealed, np.arange(len(sealed) + 1)), *(_cut(column, offsets) for column in steps)]
    yield from zip(*parts, strict=True)


def _cut(content: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer]) -> Iterator[memoryview]:
    """The bytes of `content` [rows, bytes] between one offset (of rows) and the next, as views."""
    flat = content.reshape(-1).data
    return map(flat.__getitem__, itertools.starmap(slice, itertools.pairwise((offsets * content.shape[1]).tolist())))


def differing(logged: Rows, found: Rows) -> npt.NDArray[np.bool_]:
    """Which episodes differ in any compared bit, bool [n]; from the first differing length on, all do."""
    flags = np.zeros(len(logged), np.bool_)
    for column in EPISODES:
        if column.compared:
            flags |= _unequal(logged.episodes[column.name], found.episodes[column.name])
    lengths = _unequal(logged.episodes["length"], found.episodes["length"])
    aligned = int(lengths.argmax()) if lengths.any() else len(logged)
    flags[aligned:] |= aligned < len(logged)
    left, right = logged.part(0, aligned), found.part(0, aligned)
    number = np.repeat(np.arange(aligned), left.episodes["length"])
    for column in STEPS:
        flags[number[_unequal(left.steps[column.name], right.steps[column.name])]] = True
    return flags


def first_difference(logged: Rows, found: Rows, first_episode: int) -> Difference | None:
    """The first difference, bit for bit; None where there is none. Both hold the same episodes."""
    flags = differing(logged, found)
    if not flags.any():
        return None
    episode = int(flags.argmax())
    return _difference(logged.part(episode, episode + 1), found.part(episode, episode + 1), first_episode + episode)


def _difference(logged: Rows, found: Rows, episode: int) -> Difference:
    """The first difference within one episode: its first unequal step, else a value of the whole."""
    steps = []
    for column in STEPS:
        left, right = logged.steps[column.name], found.steps[column.name]
        both = min(len(left), len(right))
        unequal = _unequal(left[:both], right[:both])
        if unequal.any():
            steps.append((int(unequal.argmax()), column.name))
    if steps:
        step, name = min(steps, key=lambda item: item[0])
        return Difference(episode, step, name, *_values(logged.steps[name][step], found.steps[name][step]))
    names = [c.name for c in EPISODES if c.compared and _unequal(logged.episodes[c.name], found.episodes[c.name])[0]]
    return Difference(episode, None, names[0], *_values(logged.episodes[names[0]][0], found.episodes[names[0]][0]))


def _unequal(left: Array, right: Array) -> npt.NDArray[np.bool_]:
    unequal: npt.NDArray[np.bool_] = (as_bytes(left) != as_bytes(right)).any(1)
    return unequal


def _values(logged: Any, found: Any) -> tuple[str, str]:
    """The two values, or their first unequal element, so that a person sees the difference."""
    left, right = np.atleast_1d(logged).ravel(), np.atleast_1d(found).ravel()
    at = int(_unequal(left, right).argmax())
    label = f"[{at}] " if left.size > 1 else ""
    return label + repr(left[at].item()), label + repr(right[at].item())
