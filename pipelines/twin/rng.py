"""Random numbers that depend on nothing but seed, day and module, or on seed and the identity of a thing."""

from __future__ import annotations

import zlib
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from pipelines.twin.table import Floats

# Days before the first production day have negative numbers; seeds must not.
DAY_OFFSET = 1000


class Module(IntEnum):
    """Numbers of the random streams. A new module takes a new number, so that the others' draws stay."""

    WEATHER = 1
    EQUIPMENT = 2
    STATES = 3
    MATERIALS = 4
    ELECTRODE = 5
    ASSEMBLY = 6
    FINISHING = 7
    GRADING = 8
    PACK = 9
    ENERGY = 10
    TELEMETRY = 11
    DEFECTS = 12
    GENERIC = 13
    TRUTH = 14
    FAILURES = 15
    ORDERS = 16
    ALARMS = 17
    DRY_ROOM = 18


def stream(seed: int, day: int, module: Module) -> np.random.Generator:
    """The stream of one module on one day."""
    return np.random.default_rng([seed, day + DAY_OFFSET, int(module)])


def salt(seed: int, name: str) -> int:
    """A number for a named effect of a seed, to be passed to `hash_normal`."""
    return (seed * 0x9E3779B1 + zlib.crc32(name.encode())) & 0x7FFFFFFFFFFF


def hash_uniform(salted: int, *keys: ArrayLike) -> Floats:
    """Uniform numbers in (0, 1) that follow from integer keys alone (splitmix64).

    Args:
        salted: from `salt`.
        keys: integers or arrays of integers that broadcast together.
    """
    mixed: NDArray[np.uint64] = np.asarray(salted, dtype=np.uint64)
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64
        for key in keys:
            mixed = _mix(mixed ^ _mix(np.asarray(key).astype(np.int64).view(np.uint64)))
        result: Floats = ((_mix(mixed) >> _11).astype(np.float64) + 0.5) / 2.0**53
    return result


def hash_normal(salted: int, *keys: ArrayLike) -> Floats:
    """Standard normal numbers that follow from integer keys alone: the lasting effect of a lot, machine or channel."""
    normal: Floats = ndtri(hash_uniform(salted, *keys))
    return normal


_11, _27, _30, _31 = (np.uint64(bits) for bits in (11, 27, 30, 31))
_STEP, _FIRST, _SECOND = (np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + _STEP
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)
