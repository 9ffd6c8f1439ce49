"""Battery passports: from the graph, the product of the control plan and what was measured, to checked documents."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models.features.source import Tables
from models.traceability.spec import Measured, TraceSpec
from models.traceability.walk import START, told, walk
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parent / "schemas" / "battery_passport.schema.json"
_HOW = {"value": "any_value", "mean": "avg", "min": "min", "max": "max", "sum": "sum"}


@dataclass
class Issued:
    """One passport.

    Attributes:
        document: As the schema says.
        traced: Parts, such as cells, that must be traced.
        lacking: Material -> parts that can't be traced to any lot of it.
        complete: Parts that can be traced to every material.
        faults: What the schema refuses, each with the place.
    """

    document: dict[str, Any]
    traced: int
    complete: int
    lacking: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def issue(tables: Tables, spec: TraceSpec, site: Site, kind: str, moments: Mapping[str, datetime]) -> dict[str, Issued]:
    """Make and check the passports of entities of a kind.

    Args:
        tables: open connection that sees the tables of the graph.
        spec: the graph and what a passport holds.
        site: gives the product, its bill of materials and who made it.
        kind: kind of the entities.
        moments: id -> when it was finished (UTC, naive).

    Returns:
        By id, in the order given.
    """
    ids = list(moments)
    starts = {"kind": [kind] * len(ids), "id": ids, "from_m": [None] * len(ids), "to_m": [None] * len(ids)}
    walk(tables, spec, pa.table(starts, schema=START), "made_of")
    lots_of(tables, spec)
    _parts_of(tables, spec, kind)
    more = told(tables, spec)
    parts, contents = _parts(tables, spec), _contents(tables)
    counts, figures = _completeness(tables, spec), _figures(tables, spec)
    found = {}
    for name, moment in moments.items():
        traced, complete, lacking = counts.get(name, (0, 0, {}))
        document = {
            "formatVersion": 1,
            "batteryPassportIdentifier": f"{site.enterprise}:{site.name}:{kind}:{name}",
            "generalProductInformation": _product(site, kind, traced, moment),
            "materialComposition": _composition(spec, site, traced, contents.get(name, []), more),
            "performance": figures.get(name, []),
            "traceability": {
                "parts": parts.get(name, {}),
                "partsTraced": traced,
                "partsTracedToEveryMaterial": complete,
            },
        }
        found[name] = Issued(document, traced, complete, lacking, faults_of(document))
    return found


def faults_of(document: dict[str, Any]) -> list[str]:
    """What the schema refuses in a passport, each with its place."""
    return [
        f"{'/'.join(str(step) for step in each.absolute_path)}: {each.message}"[:200]
        for each in _validator().iter_errors(document)
    ]


def lots_of(tables: Tables, spec: TraceSpec) -> None:
    """Leave the table `cw_has`, after a walk to what things were made of: every bought `lot` in each `kind` and `id`.

    It follows what the walk followed: a cell cut from one stretch of a roll has no lot of another stretch of the roll,
    whatever else was asked for along with it.
    """
    con, lots = tables.con, quote_literal(spec.passport.lots)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE cw_stretch AS "
        f"SELECT DISTINCT kind, id, from_m, to_m, id AS lot FROM cw_reached WHERE kind = {lots}"
    )
    for each in spec.kinds:  # from what is bought to what is sold
        con.execute(
            "INSERT INTO cw_stretch SELECT DISTINCT e.kind, e.id, e.own_from_m, e.own_to_m, h.lot FROM cw_link AS e "
            "JOIN cw_stretch AS h ON e.part_kind = h.kind AND e.part_id = h.id "
            "AND e.from_m IS NOT DISTINCT FROM h.from_m AND e.to_m IS NOT DISTINCT FROM h.to_m WHERE e.kind = $kind",
            {"kind": each},
        )
    con.execute("CREATE OR REPLACE TEMP TABLE cw_has AS SELECT DISTINCT kind, id, lot FROM cw_stretch")


def _parts_of(tables: Tables, spec: TraceSpec, kind: str) -> None:
    """Leave the table `cw_part`: every part of the starts, down to a cell."""
    con, kinds, lots = tables.con, spec.kinds, quote_literal(spec.passport.lots)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE cw_part AS "
        f"SELECT DISTINCT id AS whole, kind, id FROM cw_reached WHERE kind = {quote_literal(kind)}"
    )
    for each in reversed(kinds[kinds.index(spec.passport.complete_for) + 1 :]):
        con.execute(
            "INSERT INTO cw_part SELECT DISTINCT p.whole, e.part_kind, e.part_id FROM cw_link AS e "
            f"JOIN cw_part AS p ON e.kind = p.kind AND e.id = p.id WHERE e.kind = $kind AND e.part_kind <> {lots}",
            {"kind": each},
        )


def _parts(tables: Tables, spec: TraceSpec) -> dict[str, dict[str, list[str]]]:
    """Whole -> kind -> names of its parts, for the kinds that a passport lists."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    rows = tables.con.execute(
        "SELECT whole, kind, list(id ORDER BY id) FROM cw_part WHERE id <> whole GROUP BY ALL ORDER BY whole, kind"
    ).fetchall()
    for whole, kind, ids in rows:
        if kind in spec.passport.parts:
            found[whole][kind] = ids
    return found


def _contents(tables: Tables) -> dict[str, list[str]]:
    """Whole -> the bought lots in it."""
    rows = tables.con.execute(
        "SELECT p.whole, list(DISTINCT h.lot ORDER BY h.lot) FROM cw_part AS p "
        "JOIN cw_has AS h ON p.kind = h.kind AND p.id = h.id GROUP BY 1"
    ).fetchall()
    return dict(rows)


def _completeness(tables: Tables, spec: TraceSpec) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Whole -> its parts that must be traced, those traced to every material, and by material those that are not."""
    of = spec.passport
    record = next(each for each in spec.records if each.kind == of.lots and of.material in each.tells)
    tables.con.register("cw_material", pa.table({"material": pa.array(of.materials, pa.string())}))
    rows = tables.con.execute(
        f"""
        WITH lot AS (
            SELECT DISTINCT CAST({quote_identifier(record.key)} AS VARCHAR) AS lot,
                CAST({quote_identifier(of.material)} AS VARCHAR) AS material
            FROM {tables.relation(record.table)}),
        has AS (
            SELECT DISTINCT id, material FROM cw_has JOIN lot USING (lot) SEMI JOIN cw_material USING (material)
            WHERE kind = $kind),
        part AS (SELECT whole, id FROM cw_part WHERE kind = $kind),
        counted AS (
            SELECT whole, part.id, count(material) AS materials FROM part LEFT JOIN has USING (id) GROUP BY ALL),
        lacking AS (
            SELECT part.whole, material, count(*) AS parts
            FROM part CROSS JOIN cw_material ANTI JOIN has USING (id, material) GROUP BY ALL)
        SELECT whole, count(*), count(*) FILTER (materials = $materials),
            (SELECT map(list(material ORDER BY material), list(parts ORDER BY material))
             FROM lacking WHERE lacking.whole = counted.whole)
        FROM counted GROUP BY whole
        """,
        {"kind": of.complete_for, "materials": len(of.materials)},
    ).fetchall()
    return {whole: (traced, complete, lacking or {}) for whole, traced, complete, lacking in rows}


def _figures(tables: Tables, spec: TraceSpec) -> dict[str, list[dict[str, Any]]]:
    """Whole -> its figures; one that nobody measured is left out."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in spec.passport.measured:
        for whole, value in tables.con.execute(_measured(tables, each), {"kind": each.of}).fetchall():
            if value is not None:
                found[whole].append({"name": each.name, "value": float(value), "unit": each.unit})
    return found


def _measured(tables: Tables, each: Measured) -> str:
    return f"""
        SELECT p.whole, {_HOW[each.how]}(m.{quote_identifier(each.column)})
        FROM cw_part AS p
        JOIN {tables.relation(each.table)} AS m ON CAST(m.{quote_identifier(each.key)} AS VARCHAR) = p.id
        WHERE p.kind = $kind GROUP BY 1
    """


def _product(site: Site, kind: str, cells: int, moment: datetime) -> dict[str, Any]:
    product = site.product
    return {
        "productIdentifier": product.code,
        "kind": kind,
        "manufacturer": site.enterprise,
        "place": site.title,
        "category": "industrial battery",
        "nominalCapacityAh": product.nominal_capacity_ah,
        "nominalVoltageV": product.nominal_voltage_v,
        "ratedEnergyKwh": round(product.nominal_energy_kwh * cells, 6),
        "massOfCellsKg": round(product.design["cell_mass_kg"] * cells, 3),
        "assembledAt": moment.replace(tzinfo=UTC).isoformat(timespec="seconds"),
    }


def _composition(
    spec: TraceSpec, site: Site, cells: int, lots: Sequence[str], more: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each material that stays in the product, its mass by the bill of materials and the lots that it came from."""
    by_material: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for lot in lots:
        known = dict(more.get((spec.passport.lots, lot), {}))
        material = known.pop(spec.passport.material, None)
        if material not in spec.passport.materials:  # a solvent is traced too, but is not in the battery
            continue
        plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in known.items()}
        by_material[material].append({"id": lot, **plain})
    bill = site.product.materials_kg_per_cell
    return [
        {"material": name, "massKg": round(bill[name] * cells, 6) if name in bill else None, "lots": found}
        for name, found in sorted(by_material.items())
    ]
