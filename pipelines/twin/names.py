"""Identifiers of lots, batches and rolls, by their running numbers."""

from __future__ import annotations

import numpy as np

from pipelines.twin.table import Array, Ints, codes


def lot_id(material: str, numbers: Ints) -> Array:
    """Identifiers of material lots."""
    return codes(f"{material}-", numbers, 5)


def entity_id(electrode: str, kind: str, numbers: Ints) -> Array:
    """Identifiers of batches (CB, AB) and mother rolls (CR, AR)."""
    return codes(f"{electrode[0].upper()}{kind}", numbers, 6)


def daughter_id(electrode: str, rolls: Ints, lanes: Ints) -> Array:
    """Identifiers of daughter rolls: the mother roll and the lane, from 1."""
    ids = entity_id(electrode, "R", rolls)
    return np.array([f"{each}-{lane + 1}" for each, lane in zip(ids, lanes, strict=True)], dtype=object)
