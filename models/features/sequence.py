"""Windows over the past of a sequence: what a row alone does not show of an entity that is followed over time.

Every window ends at its own row, so that nothing later is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.features.select import kind_of, matches
from models.spec import PredictiveSpec, Sequence
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier

_SLOPE_FROM = 3  # rows below which a slope or a spread says nothing


def sequence_sql(spec: PredictiveSpec, sequence: Sequence, relation: str, columns: Mapping[str, str]) -> str:
    """Query of a table's columns with the windows of its numbers.

    Args:
        spec: the solution, for its name and its target.
        sequence: entity, order, windows.
        relation: SQL of the table.
        columns: its columns with their DuckDB types.

    Raises:
        CellworksError: a column of the sequence is missing.
    """
    for name in (*sequence.entity, sequence.order):
        if name not in columns:
            raise CellworksError(
                f"the sequence's column '{name}' is missing",
                expected=f"a column of {spec.table}",
                found=", ".join(list(columns)[:30]),
                where=f"{spec.solution}: sequence",
            )
    taken = measured(spec, sequence, columns)
    entity = ", ".join(quote_identifier(name) for name in sequence.entity)
    order = quote_identifier(sequence.order)
    at = f"epoch({order}) / 3600.0" if columns[sequence.order].startswith(("TIMESTAMP", "DATE")) else order
    windows = ", ".join(
        f"w{rows} AS (PARTITION BY {entity} ORDER BY {order} ROWS BETWEEN {rows - 1} PRECEDING AND CURRENT ROW)"
        for rows in sequence.windows
    )
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {entity} ORDER BY {order}) AS __row_no FROM {relation}"
    every = ", ".join(["* EXCLUDE (__row_no)", *(part for name in taken for part in _windows_of(name, sequence, at))])
    past = f"past AS (PARTITION BY {entity} ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    longest = max(sequence.windows)
    reach = f"ROWS BETWEEN {longest + sequence.usual_rows - 1} PRECEDING AND {longest} PRECEDING"
    usual = f", usual AS (PARTITION BY {entity} ORDER BY {order} {reach})" if sequence.usual_rows else ""
    return f"(SELECT {every} FROM ({numbered}) WINDOW {windows}, {past}{usual})"


def measured(spec: PredictiveSpec, sequence: Sequence, columns: Mapping[str, str]) -> list[str]:
    """Columns of a table that get windows."""
    return [name for name, kind in columns.items() if _is_measured(spec, sequence, name, kind)]


def window_names(name: str, sequence: Sequence) -> dict[tuple[str, int], str]:
    """Names of a column's windows by kind (`mean`, `sd`, `slope`, `above`, `change`) and rows; the change has none."""
    kinds = [
        (kind, rows)
        for rows in sequence.windows
        for kind in ("mean", "sd", "slope")
        if kind == "mean" or rows >= _SLOPE_FROM
    ]
    if sequence.usual_rows:
        kinds += [("above", rows) for rows in sequence.windows]
    if sequence.base_rows:
        kinds.append(("change", 0))
    return {(kind, rows): f"{name}_{kind}_{rows}" if rows else f"{name}_{kind}" for kind, rows in kinds}


def _is_measured(spec: PredictiveSpec, sequence: Sequence, name: str, kind: str) -> bool:
    others = {*sequence.entity, sequence.order, *spec.roles}
    return (
        kind_of(kind) == "number"
        and name not in others
        and any(matches(name, pattern) for pattern in sequence.columns)
        and not any(matches(name, pattern) for pattern in spec.features.exclude)
    )


def _windows_of(name: str, sequence: Sequence, at: str) -> Iterator[str]:
    """SQL of a column's windows; `at` is what a slope counts by: the order itself, or of a moment its hours."""
    column = f"CAST({quote_identifier(name)} AS DOUBLE)"
    base = f"avg({column}) FILTER (WHERE __row_no <= {sequence.base_rows}) OVER past"
    for (kind, rows), called in window_names(name, sequence).items():
        sql = {
            "mean": f"avg({column}) OVER w{rows}",
            "sd": f"stddev_samp({column}) OVER w{rows}",
            "slope": f"regr_slope({column}, {at}) OVER w{rows}",
            "above": f"avg({column}) OVER w{rows} - avg({column}) OVER usual",
            "change": f"avg({column}) OVER w{max(sequence.windows)} - {base}",
        }[kind]
        yield f"{sql} AS {quote_identifier(called)}"
