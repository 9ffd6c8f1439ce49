"""Solutions: one batch step per domain does the night of every solution that reads it.

Work of a second or two is no step of its own, so solutions share one; a failing one, or one that hangs or dies,
doesn't stop the others, the step then fails naming it. Steps are cut by domain because a failed blocking
check must stop what reads its domain and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import dagster as dg
from filelock import FileLock

from models.families import Part, family_of
from models.solution import SolutionSpec
from orchestration.assets.keys import published_key, solution_key, table_key
from orchestration.batch import Task, run_nights
from orchestration.deliveries import DELIVERED, own_tables
from orchestration.domains import OWN_TABLES, OWNERS
from orchestration.interruption import heard
from orchestration.jobs import LEARNING, SEARCH_TAG, version_tag
from orchestration.manifest import Table
from orchestration.plant import Plant, plant, require_rules
from orchestration.pools import pool_of
from orchestration.resources import largest, pod_tags
from orchestration.solving import MODEL, MONITORING, NO_VERSION, PARTS, PREDICTIONS, Outcome

_DESCRIPTIONS = {
    MODEL: "The champion after tonight's training, gates and promotion.",
    PREDICTIONS: "Rows of `solutions.{slug}` by the champion or the rule, and the actions that follow from them.",
    MONITORING: "Live skill where labels arrived, drift of inputs and scores until then.",
}


def learning_assets(here: Plant, specs: Iterable[SolutionSpec], tables: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """Return the batch steps, one per domain that any solution reads.

    Args:
        here: The plant, for the domains of its raw feeds.
        specs: All solutions.
        tables: The curated tables.
    """
    domains = {f"{table.layer}.{table.name}": table.domain for table in tables}
    domains |= {f"raw.{feed.name}": feed.domain for feed in here.site.feeds.values()}
    by_domain: dict[str, list[SolutionSpec]] = {}
    for spec in specs:
        domain = spec.domain or domains.get(spec.table, OWN_TABLES)
        by_domain.setdefault(domain, []).append(spec)
    published = {table.domain for table in tables if table.layer == "marts"}
    pool = pool_of(here.site, "learn")
    return [
        _batch(domain, members, domains.keys(), pool, has_snapshot=domain in published)
        for domain, members in sorted(by_domain.items())
    ]


def _batch(
    domain: str, members: Sequence[SolutionSpec], known: Iterable[str], pool: str, *, has_snapshot: bool
) -> dg.AssetsDefinition:
    known = set(known)
    specs = [_asset_spec(spec, part, domain, known, has_snapshot) for spec in members for part in family_of(spec).parts]
    checks = [
        dg.AssetCheckSpec(name, asset=solution_key(spec, part), description=text)
        for spec in members
        for part, named in family_of(spec).checks.items()
        for name, text in named.items()
    ]

    @dg.multi_asset(
        name=f"{LEARNING}{domain}",
        specs=specs,
        check_specs=checks,
        can_subset=True,
        pool=pool,
        op_tags=pod_tags(largest(members)),
    )
    def learn(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        chosen = [
            (spec, [part for part in family_of(spec).parts if solution_key(spec, part) in context.selected_asset_keys])
            for spec in members
        ]
        # Before a file is read: one that grows meanwhile has another mark, and the sensor starts a run for it.
        marks = own_tables([spec for spec, parts in chosen if parts])
        tasks = [
            Task(
                spec,
                parts,
                domain if has_snapshot else None,
                context.run.tags.get(SEARCH_TAG) == "full",
                f"run {context.run_id}",
                context.run_id,
            )
            for spec, parts in chosen
            if parts
        ]
        failures: dict[str, str] = {}
        require_rules(here := plant())
        with heard():
            for task, outcome in run_nights(tasks, here.site.solution_time_limit_s):
                _tag(context, outcome)
                yield from _events(context, outcome, task.parts, marks.get(task.spec.solution, ""))
                if outcome.failure:
                    failures[task.spec.solution] = outcome.failure
        if failures:
            raise dg.Failure(
                description="; ".join(f"{name}: {why}" for name, why in failures.items()),
                metadata=dict(failures),
                allow_retries=False,
            )

    return learn


def _asset_spec(spec: SolutionSpec, part: Part, domain: str, known: set[str], has_snapshot: bool) -> dg.AssetSpec:
    tables = [table_key(*name.split(".", 1)) for name in spec.tables if name in known]
    deps: list[dg.AssetKey] = [*tables, *([published_key(domain)] if has_snapshot else [])]
    parts = family_of(spec).parts
    # Each part follows the one before it.
    deps += [solution_key(spec, before) for before, after in pairwise(parts) if after == part]
    return dg.AssetSpec(
        solution_key(spec, part),
        deps=deps,
        group_name=spec.stage,
        description=f"{spec.question}\n\n{_DESCRIPTIONS[part].format(slug=spec.slug)}",
        owners=[spec.owner or OWNERS.get(domain, OWNERS[OWN_TABLES])],
        # Without labels there is no model, without a champion nothing to predict with or to watch.
        skippable=True,
        kinds={"mlflow"} if part == MODEL else {"ducklake"},
        tags={"layer": part, "solution": spec.slug, **_triggers(spec)},
    )


def _triggers(spec: SolutionSpec) -> dict[str, str]:
    """Tags by which the jobs leave out what a solution's `trigger` switches off."""
    return {name: "yes" for name, is_on in spec.trigger.model_dump().items() if is_on}


def _tag(context: dg.AssetExecutionContext, outcome: Outcome) -> None:
    """Name the version that predicts on the run, so that runs are found by it.

    Dagster reads and writes all tags of a run, and steps of two domains run at once: hence the lock.
    """
    version = next((outcome.results[part]["version"] for part in PARTS[1:] if part in outcome.results), NO_VERSION)
    with FileLock(plant().home.dagster_dir / "run_tags.lock"):
        context.instance.add_run_tags(context.run_id, {version_tag(outcome.spec.slug): str(version)})


def _events(
    context: dg.AssetExecutionContext, outcome: Outcome, parts: Sequence[Part], found: str
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    spec = outcome.spec
    for part in parts:
        if part in outcome.results and outcome.results[part].get("version") != NO_VERSION:
            kept = {DELIVERED: found} if part == PREDICTIONS and found else {}
            yield dg.MaterializeResult(
                asset_key=solution_key(spec, part), metadata=_shown(outcome.results[part]) | kept, check_results=[]
            )
    for check in outcome.checks:
        if check.part in parts:
            yield dg.AssetCheckResult(
                asset_key=solution_key(spec, check.part),
                check_name=check.name,
                passed=check.passed,
                # A model that isn't promoted, or drifts, is news and no fault of the run.
                severity=dg.AssetCheckSeverity.WARN,
                description=check.description or None,
                metadata=_shown(check.figures),
            )
    reason = outcome.failure or outcome.skipped
    if outcome.trace:
        context.log.error("%s: %s", spec.solution, outcome.trace)
    if reason:
        context.log.warning("%s: %s", spec.solution, reason)
    context.log_event(
        dg.AssetObservation(
            asset_key=solution_key(spec, family_of(spec).parts[0]),
            metadata={
                "state": "failing" if outcome.failure else "working",
                "reason": reason,
                "parts": ", ".join(parts),
            },
        )
    )


def _shown(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in figures.items()
    }
