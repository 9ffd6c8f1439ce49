"""Reasons of a prediction in words: what was seen, in its unit, and which way it moved the score."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.control_plan.site import Site

_GROUPED = re.compile(r"(?P<text>[^\[].*?) \((?P<first>\[\{.*\}\])\)", re.DOTALL)


def units_of(site: Site) -> dict[str, str]:
    """Unit of each characteristic of the control plan, by code and by name; longest first, so the closest name wins."""
    named = {name: row.unit for row in site.plan.rows for name in (row.code, row.name)}
    return dict(sorted(named.items(), key=lambda item: -len(item[0])))


def in_words(reason: str | None, units: Mapping[str, str]) -> str:
    """Return a reason for a person.

    Args:
        reason: JSON list of feature and value as scoring writes it, with the contribution to a model's answer, or the
            limit of a rule in words; or text that ends with such a list in brackets, as that of grouped actions does.
            Other text stays as it is.
        units: See `units_of`.
    """
    if grouped := _GROUPED.fullmatch(reason or ""):
        return f"{grouped['text']} ({in_words(grouped['first'], units)})"
    try:
        parts = json.loads(reason or "")
    except json.JSONDecodeError:
        return reason or ""
    if not isinstance(parts, list):
        return reason or ""
    return "; ".join(_part(part, units) for part in parts)


def _part(part: Mapping[str, Any], units: Mapping[str, str]) -> str:
    feature, value = part["feature"], part["value"]
    unit = unit_of(feature, units)
    if value is None:
        shown = "is missing"
    elif isinstance(value, str):
        shown = value
    else:
        shown = f"{value:.4g} {unit if unit != '1' else ''}".rstrip()
    if "limit" in part:
        return f"{spoken(feature, unit)} {shown} ({part['limit']})"
    contribution = part["contribution"]
    return f"{spoken(feature, unit)} {shown} ({'raises' if contribution > 0 else 'lowers'} it, {contribution:+.2g})"


def unit_of(feature: str, units: Mapping[str, str]) -> str:
    """Unit of a feature that is, or is made from, a characteristic of the plan; empty for any other."""
    return next((unit for name, unit in units.items() if f"_{name}_" in f"_{feature}_"), "")


def spoken(feature: str, unit: str) -> str:
    """A feature's name for a person, without the unit that stands behind its value."""
    return _without_unit(feature, unit).replace("_", " ").strip()


def _without_unit(feature: str, unit: str) -> str:
    """`bearing_temp_c_mean` with unit C: `bearing_temp_mean`; the unit stands behind the value."""
    suffix = re.sub(r"[^a-z0-9]+", "_", unit.lower().replace("%", "pct")).strip("_")
    return re.sub(rf"_{re.escape(suffix)}(?=_|$)", "", feature) if len(suffix) and suffix != "1" else feature
