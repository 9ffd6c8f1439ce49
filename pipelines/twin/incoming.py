"""What comes with a material lot and what is counted at its receipt: certificate of analysis, inspection by attributes.

All of it follows from the identity of lot and supplier, so that no other draw of the twin depends on it.
"""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.twin.clock import HOUR
from pipelines.twin.rng import hash_normal, hash_uniform
from pipelines.twin.table import Array, Floats, Ints, Table, concat, take
from pipelines.twin.world import World

ATTRIBUTES = ("damage", "marking")


def certificates(world: World, material: str, lots: Ints, first: Ints, at: Floats, ids: Array) -> Table:
    """What the supplier says of a lot, one row per characteristic of the control plan.

    The supplier measures the same true value as our laboratory, with a gauge that is off by a lasting bias of its own.
    Now and then a characteristic is left out, or its value is given in another unit than the certificate names.

    Args:
        world: the plant.
        material: code of the material.
        lots: numbers of its lots.
        first: the first cell of each.
        at: when each arrived, in plant seconds.
        ids: identifier of each.
    """
    supplier, memo = _supplier(world, lots), {}  # type: ignore[var-annotated]
    tables = []
    for row in characteristics(world.site, "lims__material_result"):
        if row.variant != material:
            continue
        off = world.p("certificate.bias_ratio") * hash_normal(world.salt(f"{row.code}@certificate"), supplier)
        off = off + world.p("certificate.error_ratio") * hash_normal(world.salt(f"{row.code}@certified"), lots)
        value = world.value(row, world.z(row.code, first, memo)) + row.gauge_sd * off
        slip = hash_uniform(world.salt(f"{row.code}@slip"), lots)
        missing, wrong = world.p("certificate.missing_ratio"), world.p("certificate.unit_error_ratio")
        value = np.where(slip > 1 - wrong, value * world.p("certificate.unit_error_factor"), value)
        table = {
            "material_lot_id": ids,
            "material_code": np.full(len(lots), material, dtype=object),
            "characteristic_code": np.full(len(lots), row.code, dtype=object),
            "certified_value": np.round(value, 6),
            "certified_unit_code": np.full(len(lots), row.unit, dtype=object),
            "event_s": at,
            "known_s": at + 0.5 * HOUR,
        }
        tables.append(take(table, slip >= missing))
    return concat(tables)


def inspections(world: World, material: str, lots: Ints, at: Floats, ids: Array) -> Table:
    """Units of a lot that were looked at on receipt, and how many of them do not conform, by attribute.

    Each supplier has a share of nonconforming units of its own, from which each lot departs.
    """
    sizes = world.p.under("lot_inspection.lot_units")
    if material not in sizes:
        return {}
    looked_at = int(world.p(f"lot_inspection.inspected_units.{material}"))
    at = at + world.p("lot_inspection.after_h") * HOUR
    tables = []
    for name in ATTRIBUTES:
        key = f"{material}_{name}"
        effect = world.p("lot_inspection.supplier_effect") * hash_normal(
            world.salt(f"{key}@supplier"), _supplier(world, lots)
        ) + world.p("lot_inspection.lot_effect") * hash_normal(world.salt(f"{key}@lot"), lots)
        share = world.p(f"lot_inspection.nonconforming_ratio.{name}") * np.exp(effect)
        drawn = hash_uniform(world.salt(f"{key}@unit"), lots[:, None], np.arange(looked_at)[None, :])
        tables.append(
            {
                "material_lot_id": ids,
                "material_code": np.full(len(lots), material, dtype=object),
                "attribute_code": np.full(len(lots), name, dtype=object),
                "lot_unit_count": np.full(len(lots), int(sizes[material]), dtype=np.int32),
                "inspected_count": np.full(len(lots), looked_at, dtype=np.int32),
                "nonconforming_count": (drawn < share[:, None]).sum(axis=1).astype(np.int32),
                "event_s": at,
                "known_s": at + 0.5 * HOUR,
            }
        )
    return concat(tables)


def _supplier(world: World, lots: Ints) -> Ints:
    return lots % int(world.p("plan.suppliers"))
