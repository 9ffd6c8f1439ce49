"""What is measured beyond the pieces of the benchmark, each in a process of its own: `orchestration.bench.work`.

Each returns what it did as plain values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.context import ModelContext
from models.families import family_of
from models.solution import SolutionSpec
from models.traceability.spec import TraceSpec
from orchestration.bench.work_models import domains_of, published
from orchestration.catalogue import discover, find
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from models.features.source import Tables

Told = dict[str, Any]
_WHO = "scale"


def publish() -> Told:
    """Publish every domain as it is now: what a night does once the checks have passed."""
    from pipelines.curation.run import LAYER_DOMAINS
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import PUBLISHED
    from pipelines.lake.publish import publish as publish_domain

    with writer(plant().home, why="publish", area=PUBLISHED) as con:
        return {domain: publish_domain(con, domain, _WHO) for domain in LAYER_DOMAINS["marts"]}


def learn(solution: str) -> Told:
    """Search, fit, evaluate, register and judge a solution of any family that learns."""
    spec, ctx = _published(find(solution), plant())
    family = family_of(spec)
    result = family.train(spec, ctx)
    verdict = family.judge(spec, ctx, result)
    return {
        "version": result.version,
        "trials": result.trials,
        "rows": result.rows_development + result.rows_holdout,
        "verdict": verdict.status,
    }


def answer(solution: str, version: str) -> Told:
    """Answer for every row that there is, with a version that is cleared here whatever its gates said.

    Told beside: seconds by phase, and how large the model is, since reasons take the longer the more leaves it has.
    """
    from models.registry.client import open_client
    from models.registry.versions import get_version, sign_override

    spec, ctx = _published(find(solution), plant())
    sign_override(ctx.home, spec.name, version, _WHO, "measured, never to act")
    client = open_client(ctx)
    client.set_registered_model_alias(spec.name, "champion", version)
    report = family_of(spec).score(spec, ctx)
    if not report.rows:
        raise CellworksError("nothing was scored", expected="rows that wait for an answer", found=report.skipped)
    size = _trees(get_version(client, spec.name, version, ctx.home).bundle)
    return {"rows": report.rows, "explained": report.explained, "phases": report.seconds or {}, **size}


def trace(asked: int) -> Told:
    """Walk from cells to all they were made of and from lots to all they went into; seconds of each answer.

    Args:
        asked: how many of each, evenly over all that there are; a lot that nothing was made of yet has no answer.

    Raises:
        CellworksError: a cell is made of nothing, or no lot went into anything.
    """
    from models.features.source import open_tables
    from models.traceability.walk import names_of

    spec = next(each for each in discover() if isinstance(each, TraceSpec))
    spec, ctx = _published(spec, plant())
    bought = next(each.kind for each in spec.records if not each.made_of)
    with open_tables(ctx, spec.table) as tables:
        cells, lots = names_of(tables, spec, "cell"), names_of(tables, spec, bought)
        back = [_timed(tables, spec, "cell", name, "made_of") for name in _some(cells, asked)]
        onward = [_timed(tables, spec, bought, name, "went_into") for name in _some(lots, asked)]
    answered = [seconds for seconds in onward if seconds is not None]
    if None in back or not answered:
        raise CellworksError(
            "the genealogy leads nowhere", expected="parts of each cell, and uses of lots", found="none"
        )
    return {"cells": len(cells), "lots": len(lots), "back_seconds": back, "onward_seconds": answered}


def charts(days: int, reference_days: int) -> Told:
    """Chart every control point of the newest days, from the lake to the causes."""
    from pipelines.lake.connection import reader, threads
    from pipelines.lake.publish import published_snapshot
    from pipelines.line_charts.line import chart_line

    here = plant()
    with reader(here.home, snapshot=published_snapshot(here.home, "equipment")) as con:
        found = chart_line(
            con, here.site, days=days, reference_days=reference_days, budget_share=0.25, n_threads=threads()
        )
    return {"points": len(found.minutes.points), "values": int(found.minutes.values.size), "causes": len(found.groups)}


def lake() -> Told:
    """Rows and bytes of the lake's live files, those of values by the minute apart; cells among the raw rows."""
    from pipelines.lake.connection import reader

    here = plant()
    series = {name for name, feed in here.site.feeds.items() if feed.shape == "series"}
    with reader(here.home) as con:
        tables = con.execute(
            "SELECT s.schema_name, t.table_name, sum(f.record_count), sum(f.file_size_bytes) "
            "FROM __ducklake_metadata_lake.ducklake_table t "
            "JOIN __ducklake_metadata_lake.ducklake_schema s USING (schema_id) "
            "JOIN __ducklake_metadata_lake.ducklake_data_file f USING (table_id) "
            "WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL AND f.end_snapshot IS NULL GROUP BY ALL"
        ).fetchall()
    by_minute = [each for each in tables if each[1].removeprefix("stg_") in series]
    return {
        "rows_raw": sum(int(rows) for schema, _, rows, _ in tables if schema == "raw"),
        "rows_by_minute": sum(int(rows) for schema, _, rows, _ in by_minute if schema == "raw"),
        "bytes": sum(int(size) for *_, size in tables),
        "bytes_by_minute": sum(int(size) for *_, size in by_minute),
        "control_points": len(here.site.plan.points),
    }


PIECES: dict[str, Callable[..., Told]] = {each.__name__: each for each in (publish, learn, answer, trace, charts, lake)}


def _published(spec: SolutionSpec, here: Plant) -> tuple[Any, ModelContext]:
    """The solution over its published tables; its family's own spec comes back as what it is."""
    found = published(spec, here, domains_of(here))
    if found is None:
        raise CellworksError("nothing is published that the solution reads", found=spec.solution, mend="publish first")
    return found


def _trees(bundle: Path) -> dict[str, int]:
    """Trees and leaves of a model's boosters, as their files have them; none where it has no trees."""
    from lightgbm import Booster as LightGBM
    from xgboost import Booster as XGBoost

    leaves: list[int] = []
    for file in bundle.glob("booster_*.txt"):
        leaves += [each["num_leaves"] for each in LightGBM(model_file=file).dump_model()["tree_info"]]
    for file in bundle.glob("booster_*.ubj"):
        leaves += [each.count("leaf=") for each in XGBoost(model_file=file).get_dump()]
    return {"trees": len(leaves), "leaves": sum(leaves)}


def _some(names: list[str], count: int) -> list[str]:
    return names[:: max(1, len(names) // count)][:count]


def _timed(
    tables: Tables, spec: TraceSpec, kind: str, name: str, direction: Literal["made_of", "went_into"]
) -> float | None:
    """Seconds that an answer takes; None where it reached nothing."""
    import pyarrow as pa

    from models.traceability.walk import START, walk

    start = pa.Table.from_pylist([{"kind": kind, "id": name, "from_m": None, "to_m": None}], schema=START)
    begun = time.perf_counter()
    walk(tables, spec, start, direction)
    found = tables.arrow("SELECT count(*) AS n FROM cw_link")["n"][0].as_py()
    return time.perf_counter() - begun if found else None
