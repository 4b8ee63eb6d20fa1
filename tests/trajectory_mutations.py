"""Mutated copies of a trajectory file, and a process that reads them: `python trajectory_mutations.py FILE FIRST LAST`.

Kinds: single bytes, a cut, a run of noise, HDF5's own structures, the file's head, and object headers whose checksum
is made right again, as an attacker would.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STRUCTURES = (b"OHDR", b"TREE", b"FRHP", b"FHDB", b"BTHD", b"BTLF", b"SNOD", b"HEAP", b"OCHK", b"\x89HDF")
EDGES = (0, 1, 127, 128, 255)


def mutated(content: bytes, number: int) -> bytes:
    """Mutation `number` of `content`; always the same one."""
    rng = np.random.default_rng(number)
    return bytes(_KINDS[number % len(_KINDS)](bytearray(content), rng))


def _bytes(data: bytearray, rng: np.random.Generator) -> bytearray:
    for at in rng.integers(len(data), size=rng.integers(1, 4)):
        data[at] = rng.integers(256)
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(len(data))]


def _noise(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(len(data)))
    noise = rng.bytes(int(rng.integers(1, 2000)))[: len(data) - at]
    data[at : at + len(noise)] = noise
    return data


def _head(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(4096))
    return _near(data, rng, start, 16)


def _structure(data: bytearray, rng: np.random.Generator) -> bytearray:
    places = _places(data, STRUCTURES[rng.integers(len(STRUCTURES))])
    return _near(data, rng, int(rng.choice(places)) + int(rng.integers(300)), 40) if places else data


def _sealed_header(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A changed version-2 object header (HDF5 file format, IV.A.1.b) under a checksum that fits it."""
    start = int(rng.choice(_places(data, b"OHDR")))
    flags = data[start + 5]
    width = 1 << (flags & 3)
    begin = start + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    end = begin + width + int.from_bytes(data[begin : begin + width], "little")
    if end + 4 > len(data):
        return data
    for at in rng.integers(begin + width, end, size=rng.integers(1, 4)):
        data[at] = EDGES[rng.integers(len(EDGES))] if rng.random() < 0.5 else rng.integers(256)
    data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
    return data


_KINDS = (_bytes, _cut, _noise, _structure, _head, _sealed_header, _sealed_header)


def _near(data: bytearray, rng: np.random.Generator, start: int, reach: int) -> bytearray:
    for offset in rng.integers(reach, size=rng.integers(1, 6)):
        value = EDGES[rng.integers(len(EDGES))] if rng.random() < 0.7 else rng.integers(256)
        data[min(len(data) - 1, start + int(offset))] = value
    return data


def _places(data: bytearray, signature: bytes) -> list[int]:
    found, at = [], data.find(signature)
    while at >= 0:
        found.append(at)
        at = data.find(signature, at + 1)
    return found


def lookup3(key: bytes) -> int:
    """Bob Jenkins's hashlittle of lookup3.c, with initial value 0: HDF5's metadata checksum."""

    def rotate(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF

    a = b = c = (0xDEADBEEF + len(key)) & 0xFFFFFFFF
    blocks = max(0, (len(key) - 1) // 12)
    for i in range(blocks + (len(key) > 0)):
        words = np.frombuffer(key[12 * i : 12 * i + 12].ljust(12, b"\0"), "<u4").tolist()
        a, b, c = ((x + y) & 0xFFFFFFFF for x, y in zip((a, b, c), words, strict=True))
        if i < blocks:
            for k, (p, q, r) in zip((4, 6, 8, 16, 19, 4), ((0, 2, 1), (1, 0, 2), (2, 1, 0)) * 2, strict=True):
                v = [a, b, c]
                v[p] = ((v[p] - v[q]) & 0xFFFFFFFF) ^ rotate(v[q], k)
                v[q] = (v[q] + v[r]) & 0xFFFFFFFF
                a, b, c = v
    if not key:
        return c
    for k, (p, q) in zip((14, 11, 25, 16, 4, 14, 24), ((2, 1), (0, 2), (1, 0), (2, 1), (0, 2), (1, 0), (2, 1)),
                         strict=True):  # fmt: skip
        v = [a, b, c]
        v[p] = ((v[p] ^ v[q]) - rotate(v[q], k)) & 0xFFFFFFFF
        a, b, c = v
    return c


def read_everything(path: Path) -> None:
    """Open the log and read all of it."""
    from eenn_rl.trajectory import open_log

    with open_log(path) as log:
        _ = (log.meta, log.altered_parts, log.finished, log.top(3), log.front(), log.verifications())
        log.verification_columns()
        log.updates()
        for _ in log.blocks():
            pass


def say(text: str) -> None:
    """To stdout at once: a crash must not swallow it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main(source: Path, first: int, last: int) -> None:
    """Print `number outcome CPU-seconds` for each mutation; within 2 GiB of address space beyond what imports take."""
    import resource

    import eenn_rl.trajectory
    from eenn_rl.errors import EennError

    _ = eenn_rl.trajectory
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), used + (2 << 30)))
    content = source.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.h5"
        for number in range(first, last):
            path.write_bytes(mutated(content, number))
            say(f"{number} ")
            begun = time.process_time()
            try:
                read_everything(path)
                outcome = "read"
            except EennError as error:
                outcome = "refused" if "\n" not in str(error) else "long"
            say(f"{outcome} {time.process_time() - begun:.3f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
