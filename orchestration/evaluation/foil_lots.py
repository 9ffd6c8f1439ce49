"""Is a cell traced to the foil that it was truly cut from? Beside the twin's truth of where each splice lies."""

from __future__ import annotations

import pyarrow as pa

from models.features.source import Tables
from models.traceability.passport import lots_of
from models.traceability.spec import TraceSpec
from models.traceability.walk import START, Direction, walk
from orchestration.evaluation.lines import Line
from pipelines.lake.home import Home
from pipelines.twin.truth import read_truth

ASKED = 10
"""Splices whose lots are followed the other way too, spread evenly."""
_LOTS = ("ended_lot_id", "begun_lot_id")


def foil_line(tables: Tables, spec: TraceSpec, home: Home) -> Line | None:
    """Hold the foil of every cell of a roll with a splice against the truth, and both directions against each other.

    A cell must have each lot that lies on its stretch of a roll. It may have the neighbouring one too, where the splice
    is nearer than what the metre told and the tolerance beside it add up to.

    Returns:
        None where the graph knows no stretch of a whole, or there is no cell of a roll whose splice the truth knows.
    """
    within = [made.within_m for record in spec.records for made in record.made_of if made.into_from_m]
    splices = read_truth(home, "foil_splice")
    if not within or splices is None:
        return None
    cells = _cut(tables, splices)
    if not cells:
        return None
    _walk(tables, spec, spec.passport.complete_for, cells, "made_of")
    lots_of(tables, spec)
    missed, too_many = _against_truth(tables, spec, near_m=2 * max(within))
    asked = splices.to_pylist()[:: max(1, splices.num_rows // ASKED)][:ASKED]
    differing = sum(_differs(tables, spec, row["mother_roll_id"], row[lot]) for row in asked for lot in _LOTS)
    return Line(
        "the foil of each cell as it was",
        f"{missed} of {len(cells)} cells of {splices.num_rows} rolls with a splice miss a lot, {too_many} have one too "
        f"many, {differing} of {2 * len(asked)} lots reach other cells",
        missed == too_many == differing == 0,
    )


def _cut(tables: Tables, splices: pa.Table) -> list[str]:
    """Leave the table `cw_cut`: every cell of a roll with a splice and its stretch of that roll; the cells' names."""
    stacking, daughter = (tables.relation(f"staging.stg_mes__{name}") for name in ("stacking", "daughter_roll"))
    tables.con.register("cw_splice", splices)
    tables.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cw_cut AS
        WITH cell AS (
            SELECT cell_id, cathode_roll_id AS roll_id, cathode_from_m AS a, cathode_to_m AS z FROM {stacking}
            UNION ALL SELECT cell_id, anode_roll_id, anode_from_m, anode_to_m FROM {stacking})
        SELECT cell_id, splice.*,
            CASE WHEN is_flipped THEN to_m - z ELSE from_m + a END AS begin_m,
            CASE WHEN is_flipped THEN to_m - a ELSE from_m + z END AS end_m
        FROM cell
        JOIN {daughter} ON roll_id = daughter_roll_id
        JOIN cw_splice AS splice USING (mother_roll_id)
        """
    )
    names: list[str] = tables.arrow("SELECT DISTINCT cell_id FROM cw_cut ORDER BY 1")["cell_id"].to_pylist()
    return names


def _walk(tables: Tables, spec: TraceSpec, kind: str, names: list[str], direction: Direction) -> None:
    none = [None] * len(names)
    starts = pa.table({"kind": [kind] * len(names), "id": names, "from_m": none, "to_m": none}, schema=START)
    walk(tables, spec, starts, direction)


def _against_truth(tables: Tables, spec: TraceSpec, *, near_m: float) -> tuple[int, int]:
    """Leave the table `cw_traced`: cell, roll, foil by the graph. Cells that miss a lot, and that have one too many."""
    tables.con.execute(
        "CREATE OR REPLACE TEMP TABLE cw_traced AS SELECT DISTINCT cell_id, mother_roll_id, lot FROM cw_cut "
        "JOIN cw_has ON kind = $kind AND id = cell_id AND lot IN (ended_lot_id, begun_lot_id)",
        {"kind": spec.passport.complete_for},
    )
    missed, too_many = tables.con.execute(
        """
        WITH truly AS (
            SELECT cell_id, mother_roll_id, ended_lot_id AS lot FROM cw_cut WHERE begin_m < true_at_m
            UNION SELECT cell_id, mother_roll_id, begun_lot_id FROM cw_cut WHERE end_m > true_at_m)
        SELECT
            (SELECT count(DISTINCT cell_id) FROM truly ANTI JOIN cw_traced USING (cell_id, mother_roll_id, lot)),
            (SELECT count(DISTINCT cell_id) FROM cw_cut JOIN cw_traced USING (cell_id, mother_roll_id)
                ANTI JOIN truly USING (cell_id, mother_roll_id, lot)
                WHERE begin_m >= true_at_m + $near_m OR end_m <= true_at_m - $near_m)
        """,
        {"near_m": near_m},
    ).fetchall()[0]
    return int(missed), int(too_many)


def _differs(tables: Tables, spec: TraceSpec, roll: str, lot: str) -> bool:
    """Whether the lot does not reach those cells of a roll that have it, or others of the roll."""
    _walk(tables, spec, spec.passport.lots, [lot], "went_into")
    (differing,) = tables.con.execute(
        """
        SELECT count(*) FROM (
            SELECT cell_id FROM cw_cut SEMI JOIN cw_reached ON kind = $kind AND id = cell_id
            WHERE mother_roll_id = $roll) AS onward
        FULL JOIN (SELECT cell_id FROM cw_traced WHERE mother_roll_id = $roll AND lot = $lot) AS back
            ON onward.cell_id = back.cell_id
        WHERE onward.cell_id IS NULL OR back.cell_id IS NULL
        """,
        {"kind": spec.passport.complete_for, "roll": roll, "lot": lot},
    ).fetchall()[0]
    return bool(differing)
