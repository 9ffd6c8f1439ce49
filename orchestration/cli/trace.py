"""`trace`: what a cell, roll or container was made of, and what a lot or a stretch of a roll went into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from models.context import ModelContext
from models.traceability.spec import TraceSpec
from orchestration.catalogue import discover
from orchestration.cli import console
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from models.features.source import Tables

Direction = Literal["made_of", "went_into"]
_SHOWN = 20


@dataclass(frozen=True)
class Wanted:
    """What is traced.

    Attributes:
        kind: Kind as the graph calls it, or the end of its name where that is enough: `lot` for `material_lot`.
        id: Its name.
        direction: None: what is bought is followed into what it became, all else back to what it was made of.
        from_m: Where the stretch begins, for a roll; None: all of it.
        to_m: Where it ends.
    """

    kind: str
    id: str
    direction: Direction | None = None
    from_m: float | None = None
    to_m: float | None = None


def trace(wanted: Wanted, *, as_json: bool) -> None:
    """Print what was reached, by kind, with what the records tell of it.

    Raises:
        CellworksError: no solution traces, there is no such kind, or no record of that name.
    """
    here = plant()
    spec = _graph()
    kind = _kind(spec, wanted.kind)
    is_bought = not any(record.made_of for record in spec.records if record.kind == kind)
    direction: Direction = wanted.direction or ("went_into" if is_bought else "made_of")
    with _open(here, spec) as tables:
        found = _walked(tables, spec, kind, wanted, direction)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    verb = "was made of" if direction == "made_of" else "went into"
    console.heading(f"{kind.replace('_', ' ')} {wanted.id} {verb}")
    for each, reached in found["reached"].items():
        console.line(f"{len(reached):,} {each.replace('_', ' ')}")
        for row in reached[:_SHOWN]:
            console.line(_in_words(row), 4)
        if len(reached) > _SHOWN:
            console.line(f"and {len(reached) - _SHOWN:,} more; --json lists them all", 4)


def passport(kind: str, name: str, *, as_json: bool) -> None:
    """Print the passport of one cell, module or container, made from the records as they are published now.

    Raises:
        CellworksError: no solution traces, there is no such kind, or no record of that name.
    """
    from models.traceability.passport import issue

    here = plant()
    spec = _graph()
    kind = _kind(spec, kind)
    with _open(here, spec) as tables:
        moment = _moment(tables, spec, kind, name)
        issued = issue(tables, spec, here.site, kind, {name: moment})[name]
    found = {"passport": issued.document, "faults": issued.faults, "not_traced_to": issued.lacking}
    if as_json:
        console.tell(found, "", as_json=True)
        return
    console.heading(str(issued.document["batteryPassportIdentifier"]))
    for material in issued.document["materialComposition"]:
        console.line(f"{material['material']}: {', '.join(lot['id'] for lot in material['lots'])}")
    for figure in issued.document["performance"]:
        console.line(f"{figure['name'].replace('_', ' ')} {console.figure(figure['value'])} {figure['unit']}")
    for lacking, parts in issued.lacking.items():
        console.line(f"{parts:,} of {issued.traced:,} can't be traced to {lacking}", style="yellow")
    console.line("; ".join(issued.faults) or "as the schema says; --json shows the document")


def _graph() -> TraceSpec:
    for spec in discover():
        if isinstance(spec, TraceSpec):
            return spec
    raise CellworksError(
        "no solution of this instance traces anything",
        expected="a defs.yaml of type orchestration.components.Traceability",
        mend="write one; orchestration/defs/traceability/genealogy_passport is an example",
    )


def _kind(spec: TraceSpec, named: str) -> str:
    fitting = [kind for kind in spec.kinds if kind == named] or [
        kind for kind in spec.kinds if kind.endswith(f"_{named}")
    ]
    if len(fitting) != 1:
        raise CellworksError(
            f"'{named}' names no kind that is traced" if not fitting else f"'{named}' may be several kinds",
            expected=", ".join(fitting or spec.kinds),
            found=named,
            mend="give one of these names",
        )
    return fitting[0]


def _open(here: Plant, spec: TraceSpec) -> Any:
    """The tables as the solution's domain was published last; a recall must not rest on what no check has seen."""
    from models.features.source import open_tables
    from pipelines.lake.publish import published_snapshot

    snapshot = None if spec.domain is None else published_snapshot(here.home, spec.domain)
    return open_tables(ModelContext(home=here.home, site=here.site, snapshot=snapshot), spec.table)


def _walked(tables: Tables, spec: TraceSpec, kind: str, wanted: Wanted, direction: Direction) -> dict[str, Any]:
    import pyarrow as pa

    from models.traceability.walk import START, told, walk

    start = {"kind": kind, "id": wanted.id, "from_m": wanted.from_m, "to_m": wanted.to_m}
    walk(tables, spec, pa.Table.from_pylist([start], schema=START), direction)
    more = told(tables, spec)
    links = tables.arrow("FROM cw_link ORDER BY kind, id, part_kind, part_id, role").to_pylist()
    if not links and (kind, wanted.id) not in more:
        raise CellworksError(
            f"no record tells of the {kind.replace('_', ' ')} {wanted.id}",
            expected="the name as the line gave it",
            found=wanted.id,
            mend="look it up in the tables of the solution, or wait until its records came and were published",
        )
    side = ("part_kind", "part_id") if direction == "made_of" else ("kind", "id")
    stretch = ("from_m", "to_m") if direction == "made_of" else ("own_from_m", "own_to_m")
    reached: dict[str, dict[str, dict[str, Any]]] = {}
    for link in links:
        row = reached.setdefault(link[side[0]], {}).setdefault(link[side[1]], {"id": link[side[1]]})
        if link[side[0]].endswith("roll") and (link[stretch[0]] is not None or link[stretch[1]] is not None):
            row.setdefault("stretches_m", []).append([link[stretch[0]], link[stretch[1]]])
    order = reversed(spec.kinds) if direction == "made_of" else spec.kinds
    return {
        "kind": kind,
        "id": wanted.id,
        "direction": direction,
        **more.get((kind, wanted.id), {}),
        "reached": {
            each: [row | more.get((each, name), {}) for name, row in sorted(reached[each].items())]
            for each in order
            if each in reached
        },
        "links": [{name: value for name, value in link.items() if value not in (None, "")} for link in links],
    }


def _moment(tables: Tables, spec: TraceSpec, kind: str, name: str) -> datetime:
    """When the entity was finished."""
    from pipelines.lake.sql import quote_identifier

    told_by = [(each.table, each.key, each.time) for each in spec.records if each.kind == kind and each.time]
    if kind == spec.passport.of:
        told_by = [(spec.table, spec.keys[0], spec.time)]
    for table, key, time in told_by:
        found: datetime | None = tables.arrow(
            f"SELECT max({quote_identifier(time or '')}) AS at FROM {tables.relation(table)} "
            f"WHERE {quote_identifier(key)} = ?",
            [name],
        )["at"][0].as_py()
        if found:
            return found
    raise CellworksError(
        f"no passport for the {kind.replace('_', ' ')} {name}",
        expected="a name that a record tells of, and a kind whose record says when it was made",
        found=f"{kind} {name}",
        mend="look the name up, or write `time` into the kind's record in defs.yaml",
    )


def _in_words(row: dict[str, Any]) -> str:
    stretches = ", ".join(_in_metres(begin, end) for begin, end in row.get("stretches_m", []))
    more = ", ".join(
        f"{name.removesuffix('_code').replace('_', ' ')} {value:%Y-%m-%d %H:%M}"
        if isinstance(value, datetime)
        else f"{name.removesuffix('_code').replace('_', ' ')} {value}"
        for name, value in row.items()
        if name not in ("id", "stretches_m") and value is not None
    )
    return "  ".join(part for part in (str(row["id"]), stretches, more) if part)


def _in_metres(begin: float | None, end: float | None) -> str:
    """A stretch in words; an end that is not told is the roll's own."""
    if begin is None:
        return f"up to {end:,.1f} m"
    return f"from {begin:,.1f} m on" if end is None else f"{begin:,.1f} to {end:,.1f} m"
