"""Certificates of analysis as suppliers print them: each in a layout of its own, with a decimal mark and units."""

from __future__ import annotations

import re

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.twin.rng import hash_uniform
from pipelines.twin.table import Array, Floats, Ints, Table
from pipelines.twin.world import World

_MISREAD = (("0", "O"), ("1", "l"), ("8", "B"), ("5", "S"))
"""Digits with the letter that a worn printer or a scan makes of each."""
_FINER = {"um": ("mm", 1e-3), "ppm": ("%", 1e-4)}
"""Units with another one that some write instead, and the factor to it."""


def documents(world: World, material: str, certified: Table, lots: Ints, ids: Array, at: Floats) -> Table:
    """One text per lot that holds what its certificate's records say, now and then with a misprint in a number.

    All of it follows from the identity of lot and supplier, as the records do.

    Args:
        world: the plant.
        material: code of the material.
        certified: the records, as `incoming.certificates` makes them.
        lots: numbers of the lots.
        ids: identifier of each.
        at: when each arrived, in plant seconds.
    """
    suppliers = int(world.p("plan.suppliers"))
    names = {row.code: _spoken(row.name, row.unit) for row in characteristics(world.site, "lims__material_result")}
    spoilt = {code: world.salt(f"{code}@misprint") for code in names}
    ratio = world.p("certificate.misprint_ratio")
    lines: dict[str, list[str]] = {name: [] for name in ids}
    number_of = dict(zip(ids, lots, strict=True))
    for place, name in enumerate(certified.get("material_lot_id", ())):
        code, lot = certified["characteristic_code"][place], number_of[name]
        is_spoilt = bool(hash_uniform(spoilt[code], np.array([lot]))[0] < ratio)
        value, unit = float(certified["certified_value"][place]), str(certified["certified_unit_code"][place])
        style = int(lot % suppliers) % 3
        lines[name].append(_line(style, len(lines[name]) + 1, names[code], value, unit, is_spoilt=is_spoilt))
    texts = [_whole(int(lot % suppliers) % 3, str(name), material, lines[name]) for name, lot in number_of.items()]
    return {
        "material_lot_id": ids,
        "material_code": np.full(len(lots), material, dtype=object),
        "supplier_code": np.array([f"{material}_supplier_{lot % suppliers + 1}" for lot in lots], dtype=object),
        "document": np.array(texts, dtype=object),
        "event_s": at,
        "known_s": at + 0.5 * 3600.0,
    }


def _spoken(name: str, unit: str) -> str:
    """A characteristic's name in words, without its unit."""
    suffix = re.sub(r"[^a-z0-9]+", "_", unit.lower())
    return name.removesuffix(f"_{suffix}").replace("_", " ")


def _line(style: int, number: int, name: str, value: float, unit: str, *, is_spoilt: bool) -> str:
    if style == 2:
        unit, factor = _FINER.get(unit, (unit, 1.0))
        value = value * factor
    text = np.format_float_positional(value, precision=10, trim="-")
    if is_spoilt:
        text = _misprinted(text)
    if style == 0:
        return f"{name}: {text} {unit}"
    if style == 1:
        return f"{name.upper():<28} | {text.replace('.', ','):>14} | {unit}"
    return f"{number}) {name} [{unit}] = {text}"


def _misprinted(text: str) -> str:
    for digit, letter in _MISREAD:
        if digit in text:
            return text.replace(digit, letter, 1)
    return text + "?"


def _whole(style: int, lot: str, material: str, lines: list[str]) -> str:
    head = (
        ["CERTIFICATE OF ANALYSIS", f"Lot {lot}", f"Material {material}", ""],
        [f"INSPECTION CERTIFICATE {lot}", "CHARACTERISTIC | RESULT | UNIT"],
        [f"CoA {lot} / {material}", "Results:"],
    )[style]
    return "\n".join([*head, *lines, "Released by the supplier's laboratory."])
