"""Values from documents: each line is held against its supplier's layout; what is no number is told and not guessed.

An answer per document and planned characteristic: `read` with the value in the plan's unit and its line, or why there
is none: `missing` (no line names it), `not_a_number` (a misprint), `unknown_unit`, `twice` (several lines name it).
"""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa
from scipy.stats import binom

from models.assistant.documents_spec import Documents, Layout
from models.assistant.spec import AssistantSpec
from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport
from pipelines.lake.sql import quote_identifier, quote_literal

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""
SPOKEN_CHANCE = 0.001
"""Of a night on which `spoken` fails although every supplier misprints no more than `unread_ratio`, at one look."""
_WORDS = "trim(regexp_replace(lower({text}), '[^a-z0-9]+', '_', 'g'), '_')"
_UNITS = pa.schema([("layout", pa.int64()), ("written", pa.string()), ("unit", pa.string()), ("factor", pa.float64())])


def read_documents(spec: AssistantSpec, documents: Documents, ctx: ModelContext) -> ScoreReport:
    """Read every document, and tell what is new; see `score_by_rule`.

    Raises:
        CellworksError: a table or a column is missing.
    """

    def answer(now: datetime) -> RuleAnswers | None:  # noqa: ARG001 - a document says the same at any hour
        with open_tables(ctx, spec.table) as tables:
            tables.columns_with(spec.table, spec.named_columns, spec.solution)
            planned = documents.planned
            tables.columns_with(planned.table, [*spec.keys, planned.within, planned.unit], spec.solution)
            found = values(tables, spec, documents)
            strange = _strange(tables)
        return _told(spec, documents, found, strange) if found.num_rows else None

    return score_by_rule(spec, ctx, FORMAT, answer)


def values(tables: Tables, spec: AssistantSpec, documents: Documents) -> pa.Table:
    """What each document says of each planned characteristic.

    Leaves the temporary table `cw_line`: lines that look like a value, and the characteristic that each names.

    Returns:
        The keys, `supplier`, `event_at`, `value` (in the plan's unit), `class`, `line_no` (from 1) and `line`.
    """
    key, name = (quote_identifier(each) for each in spec.keys)
    planned = documents.planned
    within, unit = quote_identifier(planned.within), quote_identifier(planned.unit)
    units = [
        {"layout": place, "written": written, "unit": each.unit, "factor": each.factor}
        for place, layout in enumerate(documents.layouts)
        for written, each in layout.units.items()
    ]
    tables.con.register("cw_unit", pa.Table.from_pylist(units, schema=_UNITS))
    tables.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cw_document AS SELECT {key} AS document,
            {quote_identifier(documents.supplier)} AS supplier, {quote_identifier(documents.text)} AS text,
            {quote_identifier(documents.time)} AS event_at
        FROM {tables.relation(spec.table)}
        """
    )
    tables.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cw_planned AS SELECT {key} AS document, {name} AS name, {within} AS within,
            {unit} AS unit FROM {tables.relation(planned.table)} AS planned
        SEMI JOIN cw_document ON cw_document.document = planned.{key}
        """
    )
    laid_out = " UNION ALL ".join(_lines(place, layout) for place, layout in enumerate(documents.layouts))
    tables.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cw_line AS
        WITH line AS (
            SELECT document, supplier, unnest(string_split(text, chr(10))) AS line,
                generate_subscripts(string_split(text, chr(10)), 1) AS line_no FROM cw_document),
        laid_out AS (
            SELECT * FROM ({laid_out}) QUALIFY layout = min(layout) OVER (PARTITION BY document))
        SELECT laid_out.*, planned.name, coalesce(cw_unit.unit, laid_out.part.unit) AS unit,
            coalesce(cw_unit.factor, 1.0) AS factor
        FROM laid_out LEFT JOIN cw_planned AS planned ON planned.document = laid_out.document AND starts_with(
            planned.name || '_', planned.within || '_' || {_WORDS.format(text="laid_out.part.name")} || '_')
        LEFT JOIN cw_unit ON cw_unit.layout = laid_out.layout AND cw_unit.written = laid_out.part.unit
            AND cw_unit.unit = planned.unit
        """
    )
    return tables.arrow(
        f"""
        WITH told AS (
            SELECT document, name, count(*) AS lines, any_value(number) AS number, any_value(factor) AS factor,
                any_value(unit) AS unit, min(line_no) AS line_no, any_value(line) AS line
            FROM cw_line WHERE name IS NOT NULL GROUP BY ALL)
        SELECT planned.document AS {key}, planned.name AS {name}, supplier, event_at,
            CASE WHEN lines IS NULL THEN 'missing' WHEN lines > 1 THEN 'twice' WHEN number IS NULL THEN 'not_a_number'
                WHEN told.unit <> planned.unit THEN 'unknown_unit' ELSE 'read' END AS class,
            CASE WHEN class = 'read' THEN number * factor END AS value, line_no, line
        FROM cw_planned AS planned JOIN cw_document USING (document) LEFT JOIN told USING (document, name) ORDER BY 1, 2
        """
    )


def _lines(place: int, layout: Layout) -> str:
    """Lines of a layout's suppliers that have its pattern, with the number where it is one."""
    pattern, groups = quote_literal(layout.line), ", ".join(quote_literal(each) for each in layout.groups)
    own = " OR ".join(f"supplier GLOB {quote_literal(each)}" for each in layout.suppliers)
    number = "part.value" if layout.decimal == "." else "replace(part.value, ',', '.')"
    whole = quote_literal(f"[+-]?[0-9]+([{layout.decimal}][0-9]+)?")
    return f"""
        SELECT *, CASE WHEN regexp_full_match(part.value, {whole}) THEN TRY_CAST({number} AS DOUBLE) END AS number
        FROM (
            SELECT document, line_no, line, {place} AS layout, regexp_extract(line, {pattern}, [{groups}]) AS part
            FROM line WHERE ({own}) AND regexp_matches(line, {pattern}))
    """


def _strange(tables: Tables) -> list[str]:
    """Lines that look like a value and name nothing that is planned."""
    rows = tables.con.execute("SELECT document, line FROM cw_line WHERE name IS NULL ORDER BY ALL LIMIT 4").fetchall()
    return [f"{document}: {line}" for document, line in rows]


def unexplained(found: pa.Table, key: str, unread_ratio: float) -> list[str]:
    """Suppliers of whose newest documents more values are unread than misprints explain.

    A document that nobody can read is told to a person, and is no fault of the reader. A reader that no longer fits a
    layout leaves values unread from some document on: for each supplier, the newest one, two, three ... documents are
    held against the binomial distribution of `unread_ratio`, all suppliers sharing `SPOKEN_CHANCE`.

    Args:
        found: as `values` tells it.
        key: column of the document.
        unread_ratio: share of values that suppliers misprint or leave out.

    Returns:
        One text per supplier, by its name.
    """
    frame = found.select([key, "supplier", "event_at", "class"]).to_pandas()
    frame["unread"], frame["values"] = frame["class"] != "read", 1
    of_document = frame.groupby(["supplier", "event_at", key], as_index=False)[["unread", "values"]].sum()
    limit = SPOKEN_CHANCE / max(of_document["supplier"].nunique(), 1)
    told = []
    for supplier, own in of_document.groupby("supplier"):
        unread, of = (np.cumsum(own[name].to_numpy()[::-1]) for name in ("unread", "values"))
        chance = binom.sf(unread - 1, of, unread_ratio)
        newest = int(np.argmin(chance))
        if chance[newest] < limit:
            told.append(f"{supplier}: {unread[newest]} of the newest {of[newest]} values")
    return told


def _told(spec: AssistantSpec, documents: Documents, found: pa.Table, strange: list[str]) -> RuleAnswers:
    classes = found["class"].to_pylist()
    stopped = unexplained(found, spec.keys[0], documents.unread_ratio)
    more = f"more is unread than {documents.unread_ratio:.1%} misprints explain: {'; '.join(stopped[:3])}"
    return RuleAnswers(
        keys={key: found[key] for key in spec.keys},
        event_at=found["event_at"].combine_chunks(),
        answers={
            "value": found["value"].combine_chunks(),
            "class": classes,
            "is_flagged": [each != "read" for each in classes],
            "reasons": _reasons(found),
        },
        checks={
            "cited": (True, "each value is of the line that its reason names"),
            "spoken": (not stopped, more if stopped else ""),
            "understood": (not strange, f"lines of nothing that is planned: {'; '.join(strange)}" if strange else ""),
        },
    )


def _reasons(found: pa.Table) -> pa.Array:
    """The line of each, as reasons are told; null where no line names it."""
    columns = (found[name].to_pylist() for name in ("class", "line_no", "line"))
    told = [
        None if number is None else json.dumps([{"feature": f"line {number}", "value": line, "limit": how}])
        for how, number, line in zip(*columns, strict=True)
    ]
    return pa.array(told, pa.string())
