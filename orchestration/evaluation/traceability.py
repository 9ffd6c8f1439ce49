"""Does tracing answer, and rightly? Both directions timed, foil held against the truth, passports against a schema."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, cast

import pyarrow as pa

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.solution import SolutionSpec
from models.traceability.passport import SCHEMA
from models.traceability.spec import TraceSpec
from models.traceability.walk import START, Direction, names_of, walk
from orchestration.evaluation.foil_lots import foil_line
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, beside, verdict
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.rows import newest_answers
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier

MAX_SECONDS = 1.0
ASKED = 10
"""Entities asked for in each direction, spread evenly over the names."""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Time what a cell was made of and what a lot went into, and check its foil and the newest passports."""
    own, night = cast("TraceSpec", spec), ground.evidence(spec).night or {}
    home = cast("Home", ground.home)
    answers = newest_answers(own, home, str(night.get("champion_version")))
    if not answers.num_rows:
        return Evaluation("not_run", "it has issued nothing yet")
    snapshot = int(max(answers.column("lake_snapshot").to_pylist()))
    part, bought = own.passport.parts[-1], _bought(own)
    with open_tables(ModelContext(home=home, site=ground.site, snapshot=snapshot), own.table) as tables:
        back = [_timed(tables, own, part, name, "made_of", bought) for name in _some(tables, own, part)]
        onward = [_timed(tables, own, bought, name, "went_into", part) for name in _some(tables, own, bought)]
        days = _days(tables, own, part)
        foil = foil_line(tables, own, home)
    found = judged(back, onward, _documents(own, home), days)
    return found if foil is None else beside(found, [foil])


def judged(
    back: list[tuple[float, int]], onward: list[tuple[float, int]], documents: list[dict[str, Any]], days: float
) -> Evaluation:
    """Hold times and passports against the lines.

    Args:
        back: seconds and what was reached, for each part that was traced to what was bought.
        onward: the same for each lot that was traced to its parts.
        documents: passports.
        days: of records that were searched.
    """
    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    wrong = sum(not schema.is_valid(each) for each in documents)
    slowest = {"part to its lots": back, "lot to its parts": onward}
    lines = [
        Line(
            f"below {MAX_SECONDS:g} s",
            f"{name} {max((seconds for seconds, _ in each), default=float('inf')):.2f} s at most, {len(each)} asked",
            bool(each) and all(seconds < MAX_SECONDS for seconds, _ in each),
        )
        for name, each in slowest.items()
    ]
    lost = sum(not reached for _, reached in (*back, *onward))
    lines.append(Line("something for each", f"{lost} of {len(back) + len(onward)} reached nothing", lost == 0))
    lines.append(
        Line("as the schema says", f"{wrong} of {len(documents)} passports are not", bool(documents) and not wrong)
    )
    return verdict(
        lines,
        metric="slowest answer, s",
        value=max((seconds for seconds, _ in (*back, *onward)), default=None),
        baseline=None,
        threshold=MAX_SECONDS,
        figures={"days": days, "passports": len(documents)},
    )


def _bought(spec: TraceSpec) -> str:
    """The kind that is made of nothing."""
    made = {record.kind for record in spec.records if record.made_of}
    return next(record.kind for record in spec.records if record.kind not in made)


def _some(tables: Tables, spec: TraceSpec, kind: str) -> list[str]:
    """Names of a kind, evenly over all that there are."""
    names = names_of(tables, spec, kind)
    return names[:: max(1, len(names) // ASKED)][:ASKED]


def _timed(
    tables: Tables, spec: TraceSpec, kind: str, name: str, direction: Direction, wanted: str
) -> tuple[float, int]:
    """Seconds that an answer takes, and how many of the wanted kind it reaches."""
    start = pa.Table.from_pylist([{"kind": kind, "id": name, "from_m": None, "to_m": None}], schema=START)
    begun = time.perf_counter()
    walk(tables, spec, start, direction)
    reached = tables.arrow("SELECT count(DISTINCT id) AS n FROM cw_reached WHERE kind = ?", [wanted])["n"][0].as_py()
    return time.perf_counter() - begun, int(reached)


def _days(tables: Tables, spec: TraceSpec, kind: str) -> float:
    """Days from the first to the last record of a kind."""
    for record in spec.records:
        if record.kind == kind and record.time:
            at = quote_identifier(record.time)
            row = tables.arrow(
                f"SELECT min({at}) AS a, max({at}) AS z FROM {tables.relation(record.table)}"
            ).to_pylist()[0]
            if isinstance(row["a"], datetime):
                return float((row["z"] - row["a"]).total_seconds() / 86_400)
    return 0.0


def _documents(spec: TraceSpec, home: Home) -> list[dict[str, Any]]:
    """Every passport that is kept."""
    with reader(home) as con:
        found = con.execute(
            f"SELECT passport FROM lake.solutions.{quote_identifier(f'{spec.slug}_passport')}"
        ).fetchall()
    return [json.loads(text) for (text,) in found]
