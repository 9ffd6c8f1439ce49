"""Training and scoring as pieces of the benchmark, and their inputs written down for those who do it without us."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from models.context import ModelContext
from models.solution import NotYetError, SolutionSpec
from models.spec import Explain, PredictiveSpec
from orchestration.catalogue import discover
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier, quote_literal, quote_relation

if TYPE_CHECKING:
    from models.estimators.base import Problem
    from models.fitting import Fitted
    from models.train import TrainingResult

_PREFIX = {"lightgbm": "lgb_", "xgboost": "xgb_", "linear": "linear_"}
Spec = TypeVar("Spec", bound=SolutionSpec)


def solutions(here: Plant) -> Iterator[tuple[PredictiveSpec, ModelContext]]:
    """The project's predictive solutions over published tables, each with the context of a full search."""
    domains = domains_of(here)
    for spec in discover():
        if type(spec) is not PredictiveSpec:  # a survival solution's spec is one too, but its fits are others
            continue
        if (found := published(spec, here, domains)) is not None:
            yield found


def published(spec: Spec, here: Plant, domains: Mapping[str, str]) -> tuple[Spec, ModelContext] | None:
    """A solution over its published tables, with the context of a full search; None while they are not published.

    Args:
        spec: of any family.
        here: the plant.
        domains: as `domains_of` has them.
    """
    from pipelines.lake.clock import plant_now
    from pipelines.lake.publish import published_snapshot

    domain = spec.domain or domains.get(spec.table)
    snapshot = published_snapshot(here.home, domain) if domain else None
    if snapshot is None:
        return None
    with reader(here.home) as con:
        now = plant_now(con)
    ctx = ModelContext(here.home, here.site, snapshot, now, inputs_passed=True, actor="bench")
    return spec.model_copy(update={"domain": domain}), ctx


def domains_of(here: Plant) -> dict[str, str]:
    """Domain of each curated table, by its name with the layer before it."""
    from orchestration.manifest import curated_tables

    return {f"{table.layer}.{table.name}": table.domain for table in curated_tables(here)}


def train(out: str) -> dict[str, Any]:
    """Search, fit, evaluate, log and register every solution that can learn; write its rows and fits below `out`.

    The libraries are there before the clock runs, as in the daemon's warm workers and in the bare loops.
    """
    from models.registry.client import open_client
    from models.train import train as learn
    from orchestration.executor import PRELOAD

    for name in PRELOAD:
        import_module(name)
    told: dict[str, Any] = {}
    for spec, ctx in solutions(plant()):
        open_client(ctx)  # an instance makes its MLflow once, not every night
        begun = time.perf_counter()
        try:
            result = learn(spec, ctx)
        except NotYetError:  # a night leaves it out as well: its data are still to come
            continue
        seconds = time.perf_counter() - begun
        write_work(Path(out) / spec.slug, spec, ctx, result)
        told[spec.slug] = {
            "solution": spec.solution,
            "seconds": seconds,
            "phases": result.seconds,
            "trials": result.trials,
            "library": result.library,
            "version": result.version,
            "rows": result.rows_development,
        }
    if not told:
        raise CellworksError("there is nothing to train", expected="a published domain", found="none")
    return told


def write_work(folder: Path, spec: PredictiveSpec, ctx: ModelContext, result: TrainingResult) -> None:
    """Matrix, labels and folds as a Parquet file; trials, their rounds and the final fit as JSON."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from models.prepare import newest_rows
    from models.splits.splits import inner_folds

    prepared, fitted = result.prepared, result.fitted
    rows, y = prepared.split.development, prepared.labels.y
    pairs, _ = inner_folds(prepared.order, newest_rows(prepared, spec), y, spec, prepared.split.cut)
    names = [str(feature["name"]) for feature in fitted.scorer.bundle["features"]]
    columns: dict[str, Any] = {name: fitted.x_development[:, place] for place, name in enumerate(names)}
    columns["__target"] = y[rows]
    for number, (learnt, validated) in enumerate(pairs):
        part = np.zeros(len(y), dtype=np.int8)
        part[learnt], part[validated] = 1, 2
        columns[f"fold_{number}"] = part[rows]
    columns["all"] = np.ones(len(rows), dtype=np.int8)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "table.parquet")
    work = {
        "task": spec.task,
        "classes": {"num_class": fitted.problem.n_classes} if spec.task == "multiclass" else {},
        "target": "__target",
        "features": names,
        "categories": list(fitted.problem.categories),
        "threads": ctx.n_threads,
        "seed": spec.search.seed,
        "max_bin": fitted.problem.max_bin,
        "trials": _trials(spec, fitted),
    }
    (folder / "work.json").write_text(json.dumps(work), encoding="utf-8")


def _trials(spec: PredictiveSpec, fitted: Fitted) -> list[dict[str, Any]]:
    """Each trial's library, parameters and rounds by fold, and the final fits as the last ones."""
    found = fitted.found
    trials = [(each.library, _stripped(each.library, each.params), each.fold_rounds) for each in found.trials]
    done = [
        {
            "library": library,
            "params": _native(spec, fitted.problem, library, params),
            "rounds": {f"fold_{place}": count for place, count in enumerate(rounds)},
        }
        for library, params, rounds in trials
    ]
    final = [
        {
            "library": member.estimator.library,
            "params": _native(spec, fitted.problem, member.estimator.library, member.params),
            "rounds": {"all": _rounds(boosters[0])},
        }
        for member, boosters in zip(found.members, fitted.scorer.members, strict=True)
    ]
    return [*done, *final]


def _stripped(library: str, params: dict[str, Any]) -> dict[str, Any]:
    """The study's parameters by the names that the learner knows."""
    prefix = _PREFIX[library]
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def _native(spec: PredictiveSpec, problem: Problem, library: str, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the library itself takes them, the signs of the plan among them."""
    if library == "linear":
        strength = float(params["strength"])
        return {"alpha": strength} if spec.task == "regression" else {"C": 1 / strength, "max_iter": 200, "tol": 1e-3}
    if not any(problem.monotone):
        return params
    signs = list(problem.monotone)
    return params | {"monotone_constraints": signs if library == "lightgbm" else f"({','.join(map(str, signs))})"}


def _rounds(booster: Any) -> int:
    native = getattr(booster, "native", None)
    if native is None:
        return 1
    return int(native.num_boosted_rounds() if hasattr(native, "num_boosted_rounds") else native.num_trees())


def trial_tables() -> dict[str, Any]:
    """Completed trials of each version of a predictive solution in the registry, by solution and version."""
    from models.registry.client import open_home
    from models.registry.versions import all_versions, get_version

    home = plant().home
    client = open_home(home)
    told: dict[str, dict[str, int]] = {}
    for spec in (each for each in discover() if isinstance(each, PredictiveSpec)):
        for version in all_versions(client, spec.name):
            bundle = get_version(client, spec.name, str(version.version), home).bundle
            trials = json.loads((bundle / "trials.json").read_text(encoding="utf-8"))
            done = sum(trial["state"] == "COMPLETE" for trial in trials)
            told.setdefault(spec.solution, {})[str(version.version)] = done
    return told


def score(slug: str, version: str, out: str, rows: int, explained_rows: int, salt: int) -> dict[str, Any]:
    """Score a table of many rows with a trained version, without reasons and with reasons for all.

    Args:
        slug: The solution.
        version: Its version, cleared here under the benchmark's name.
        out: Folder for the tables and for the numbers as the library alone takes them.
        rows: Rows without reasons.
        explained_rows: Rows with reasons.
        salt: Part of the rows' keys, so that each call scores rows that were never scored.
    """
    from models.registry.client import open_client
    from models.registry.versions import get_version, sign_override

    spec, ctx = next(each for each in solutions(plant()) if each[0].slug == slug)
    client = open_client(ctx)
    sign_override(ctx.home, spec.name, version, "bench", "measured, never to act")
    client.set_registered_model_alias(spec.name, "champion", version)
    bundle = get_version(client, spec.name, version, ctx.home).bundle
    told: dict[str, Any] = {"booster": str(bundle / json.loads((bundle / "bundle.json").read_text())["boosters"][0])}
    for name, count, explain in (
        ("plain", rows, Explain(rows="none", top_k=0)),
        ("reasons", explained_rows, Explain(rows="all", top_k=spec.explain.top_k)),
    ):
        file = Path(out) / f"{name}.parquet"
        _write_many(spec, ctx, file, count, f"{name}{salt}")
        told[name] = _score_table(spec, replace(ctx, snapshot=None), file, explain)
    return told


def _score_table(spec: PredictiveSpec, ctx: ModelContext, file: Path, explain: Explain) -> dict[str, Any]:
    from models.scoring.score import score as predict

    many = spec.model_copy(update={"table": str(file), "explain": explain})
    begun = time.perf_counter()
    report = predict(many, ctx)
    seconds = time.perf_counter() - begun
    _write_matrix(many, ctx, file.with_suffix(".matrix.parquet"))
    return {"rows": report.rows, "seconds": seconds, "phases": report.seconds, "explained": report.explained}


def _write_many(spec: PredictiveSpec, ctx: ModelContext, file: Path, count: int, salt: str) -> None:
    """The solution's table over and over, until there are `count` rows with keys of their own."""
    key, table = quote_identifier(spec.keys[0]), quote_relation(f"lake.{spec.table}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with reader(ctx.home) as con:
        con.execute(
            f"COPY (SELECT t.* REPLACE (concat_ws('_', t.{key}, {quote_literal(salt)}, n) AS {key}) FROM {table} AS t, "
            f"range(1 + {count} // (SELECT count(*) FROM {table})) AS copies(n) LIMIT {count}) "
            f"TO {quote_literal(file)} (FORMAT parquet)"
        )


def _write_matrix(spec: PredictiveSpec, ctx: ModelContext, file: Path) -> None:
    """The features as numbers, categories as codes: what the library alone is given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from models.features.frame import load_frame
    from models.registry.versions import champion

    reigning = champion(ctx.home, spec.name, audited=ctx.is_guarded)
    if reigning is None or reigning.version is None:
        raise CellworksError("the version that was scored with is gone", expected="an alias champion", found="none")
    scorer = reigning.version.scorer(ctx.n_threads)
    names = [str(feature["name"]) for feature in scorer.bundle["features"]]
    frame = load_frame(spec.model_copy(update={"slices": []}), ctx, with_target=False, columns=names)
    x = scorer.matrix(frame.table)
    pq.write_table(pa.table({name: x[:, place] for place, name in enumerate(names)}), file)
    (file.parent / "features.json").write_text(json.dumps(names), encoding="utf-8")
