"""Memory that trainings keep: no fresh pages step after step, and all of it back afterwards."""

import json
import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, json, resource
import torch
from eenn_rl.networks.allocation import kept_memory

BLOCK = 64 << 20
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: a huge page is one fault, like a small one

def fresh(count):
    for _ in range(16):
        torch.ones(BLOCK // 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(BLOCK // 4)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / BLOCK

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / BLOCK

before, found = held(), {}
with kept_memory():
    with kept_memory():
        found["nested"] = fresh(8)
    found["within"] = fresh(8)
    found["kept"] = held() - before
found["left"] = held() - before
print(json.dumps(found))
"""
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings; other systems have others")


def blocks(**environment: str) -> dict[str, float]:
    """How many fresh blocks eight allocations took, and how many were held, in a process of its own."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_freed_memory_is_kept_within_and_goes_back_afterwards() -> None:
    """Eight blocks in the places of earlier ones; the outermost context decides; afterwards all go back.

    glibc fits a block into the place of one of the same size only where its neighbours allow, so a few are fresh.
    """
    found = blocks()
    assert found["nested"] < 4
    assert found["within"] < 4
    assert found["kept"] > 1
    assert found["left"] < 0.5


def test_settings_of_the_user_stay() -> None:
    """Who chose an allocator, or how it works, is not overruled."""
    assert blocks(MALLOC_ARENA_MAX="2")["within"] > 7
