"""Walking the graph both ways, in SQL over the tables that are there: one statement per table, whatever is traced.

A stretch of a roll is followed in metres. What was cut from [from_m, to_m] of its parent lies there by its own metres,
from the other end where it was flipped. So a cell has its metres on the mother roll, and a bad stretch of a mother roll
its cells and no others. What went into a stretch of a roll, as a lot of foil that ended at a splice, went into what was
cut from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import duckdb
import pyarrow as pa

from models.features.source import Tables
from models.traceability.spec import Made, Record, TraceSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier, quote_literal

Direction = Literal["made_of", "went_into"]
START = pa.schema([("kind", pa.string()), ("id", pa.string()), ("from_m", pa.float64()), ("to_m", pa.float64())])
_REACHED = "SELECT kind, min(id), max(id) FROM cw_reached WHERE id IS NOT NULL GROUP BY kind"
# `from_m`, `to_m` on the part, and what that is in the whole's own metres, for the walk to go on from.
_STRETCH: dict[Direction, str] = {
    "made_of": """
        CASE WHEN r.from_m IS NULL THEN p_from WHEN is_flipped THEN p_to - r.to_m ELSE p_from + r.from_m END AS from_m,
        CASE WHEN r.from_m IS NULL THEN p_to WHEN is_flipped THEN p_to - r.from_m ELSE p_from + r.to_m END AS to_m,
        r.from_m AS own_from_m, r.to_m AS own_to_m""",
    "went_into": """
        CASE WHEN p_from IS NOT NULL THEN greatest(p_from, r.from_m) END AS from_m,
        CASE WHEN p_from IS NOT NULL THEN least(p_to, r.to_m) END AS to_m,
        CASE WHEN p_from IS NULL THEN w_from WHEN r.from_m IS NULL THEN NULL
            WHEN is_flipped THEN p_to - least(p_to, r.to_m) ELSE greatest(p_from, r.from_m) - p_from END AS own_from_m,
        CASE WHEN p_from IS NULL THEN w_to WHEN r.from_m IS NULL THEN NULL
            WHEN is_flipped THEN p_to - greatest(p_from, r.from_m) ELSE least(p_to, r.to_m) - p_from END AS own_to_m""",
}
# Whether what was reached has a part of the stretch: of the whole that it went into, or of the part that it came from.
_OVERLAP: dict[Direction, str] = {
    "made_of": """
        AND (r.from_m IS NULL OR (coalesce(w_from - within_m < r.to_m, true)
            AND coalesce(w_to + within_m > r.from_m, true)))
    """,
    "went_into": "AND (r.from_m IS NULL OR p_from IS NULL OR (p_from < r.to_m AND p_to > r.from_m))",
}
# What the walk goes on from: a stretch with an open end reaches to the end of the roll, wherever that was told to be.
_FOUND: dict[Direction, str] = {
    "made_of": "part_kind AS kind, part_id AS id, from_m, to_m",
    "went_into": """
        kind, id,
        CASE WHEN own_from_m IS NULL AND own_to_m IS NULL THEN NULL
            ELSE coalesce(own_from_m, '-infinity'::DOUBLE) - within_m END AS from_m,
        CASE WHEN own_from_m IS NULL AND own_to_m IS NULL THEN NULL
            ELSE coalesce(own_to_m, 'infinity'::DOUBLE) + within_m END AS to_m""",
}


def walk(tables: Tables, spec: TraceSpec, starts: pa.Table, direction: Direction) -> None:
    """Walk from the starts until nothing new is reached.

    Leaves two temporary tables: `cw_reached` (`kind`, `id`, `from_m`, `to_m`: what was reached and which stretch of it,
    null for all of it), the starts among them, and `cw_link` (`kind`, `id`, `role`, `part_kind`, `part_id`, `from_m`,
    `to_m`: the part went into the one named first, from that stretch of it; `own_from_m`, `own_to_m`: into that stretch
    of the one named first, null for all of it and null at one end where it lies open).

    Args:
        tables: open connection that sees the tables.
        spec: the graph.
        starts: rows as `START`.
        direction: to what they were made of, or to what they went into.

    Raises:
        CellworksError: a table or column of the graph is not there.
    """
    con = tables.con
    con.register("cw_start", starts)
    con.execute("CREATE OR REPLACE TEMP TABLE cw_reached AS FROM cw_start")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE cw_link (kind VARCHAR, id VARCHAR, role VARCHAR, "
        "part_kind VARCHAR, part_id VARCHAR, from_m DOUBLE, to_m DOUBLE, own_from_m DOUBLE, own_to_m DOUBLE)"
    )
    for record in spec.toward(direction):
        reached = {kind: (least, most) for kind, least, most in con.execute(_REACHED).fetchall()}
        made = [each for each in record.made_of if (record.kind if direction == "made_of" else each.kind) in reached]
        if not made:
            continue
        step = _step(tables.relation(record.table), record, made, direction, reached)
        try:
            con.execute(f"CREATE OR REPLACE TEMP TABLE cw_step AS {step}")
        except duckdb.Error as error:
            raise CellworksError(
                f"the record of '{record.kind}' cannot be read",
                expected=f"the table {record.table} with the columns that the solution names",
                found=str(error).splitlines()[0],
                mend="correct `records` in defs.yaml",
            ) from error
        con.execute("INSERT INTO cw_link SELECT * EXCLUDE (within_m) FROM cw_step")
        con.execute(f"INSERT INTO cw_reached SELECT DISTINCT {_FOUND[direction]} FROM cw_step")


def names_of(tables: Tables, spec: TraceSpec, kind: str) -> list[str]:
    """Names of all that there are of a kind, in order."""
    record = next(each for each in spec.records if each.kind == kind)
    key = quote_identifier(record.key)
    names: list[str] = tables.arrow(
        f"SELECT DISTINCT CAST({key} AS VARCHAR) AS name FROM {tables.relation(record.table)} "
        f"WHERE {key} IS NOT NULL ORDER BY name"
    )["name"].to_pylist()
    return names


def _step(
    relation: str,
    record: Record,
    made: Sequence[Made],
    direction: Direction,
    reached: Mapping[str, tuple[str, str]],
) -> str:
    """Rows of `cw_link` from what was reached so far, in one pass over a record.

    Told outright, the least and the most name reached let the lake pass over files that hold nothing between them.
    """

    def between(column: str, kind: str) -> str:
        least, most = reached[kind]
        return f"CAST({quote_identifier(column)} AS VARCHAR) BETWEEN {quote_literal(least)} AND {quote_literal(most)}"

    if direction == "made_of":
        known, joined = between(record.key, record.kind), f"r.kind = {quote_literal(record.kind)} AND r.id = t.id"
    else:
        known = " OR ".join(between(each.column, each.kind) for each in made)
        joined = "r.kind = part_kind AND r.id = part_id"
    return f"""
        SELECT DISTINCT {quote_literal(record.kind)} AS kind, t.id, role, part_kind, part_id, {_STRETCH[direction]},
            within_m
        FROM (
            SELECT CAST({quote_identifier(record.key)} AS VARCHAR) AS id,
                unnest([{", ".join(_part(each) for each in made)}], recursive := true)
            FROM {relation} WHERE {known}
        ) AS t
        JOIN cw_reached AS r ON {joined}
        WHERE t.id IS NOT NULL AND part_id IS NOT NULL
            {_OVERLAP[direction]}
    """


def _part(made: Made) -> str:
    """What went in, the stretch of it, and the stretch of the whole that it went into, as a struct."""
    p_from = p_to = w_from = w_to = "NULL::DOUBLE"
    if made.from_m is not None and made.to_m is not None:
        ends = f"{quote_identifier(made.from_m)}, {quote_identifier(made.to_m)}"
        p_from, p_to = f"least({ends})", f"greatest({ends})"
    if made.into_from_m is not None and made.into_to_m is not None:
        w_from, w_to = (f"CAST({quote_identifier(each)} AS DOUBLE)" for each in (made.into_from_m, made.into_to_m))
    flipped = "false" if made.flipped is None else f"coalesce({quote_identifier(made.flipped)}, false)"
    return (
        f"{{'role': {quote_literal(made.role)}, 'part_kind': {quote_literal(made.kind)}, "
        f"'part_id': CAST({quote_identifier(made.column)} AS VARCHAR), "
        f"'p_from': {p_from}, 'p_to': {p_to}, 'is_flipped': {flipped}, "
        f"'w_from': {w_from}, 'w_to': {w_to}, 'within_m': {made.within_m!r}::DOUBLE}}"
    )


def told(tables: Tables, spec: TraceSpec) -> dict[tuple[str, str], dict[str, Any]]:
    """What the records tell of everything that was reached: (kind, id) -> column -> value, empty ones left out."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for record in spec.records:
        if not record.tells:
            continue
        columns = ", ".join(quote_identifier(name) for name in record.tells)
        rows = tables.con.execute(
            f"SELECT DISTINCT CAST({quote_identifier(record.key)} AS VARCHAR) AS id, {columns} "
            f"FROM {tables.relation(record.table)} WHERE id IN (SELECT id FROM cw_reached WHERE kind = $kind)",
            {"kind": record.kind},
        ).fetchall()
        for identifier, *values in rows:
            more = {name: value for name, value in zip(record.tells, values, strict=True) if value is not None}
            found.setdefault((record.kind, identifier), {}).update(more)
    return found
