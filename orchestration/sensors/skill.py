"""Drift or a loss of live skill starts a search for the solutions concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from models.families import family_of
from models.solution import SolutionSpec
from orchestration.assets.keys import solution_key
from orchestration.jobs import RETRAIN, SOLUTION_TAG, version_tag
from orchestration.plant import plant
from orchestration.sensors.marks import busy, ours_of, read_cursor, write_cursor
from orchestration.solving import MONITORING
from orchestration.whose import Ours

CAUSE_TAG = "cellworks/cause"


def skill_sensor(interval_s: int, specs: Sequence[SolutionSpec]) -> dg.SensorDefinition:
    """Return the sensor.

    It reads the newest monitoring checks. A cause is acted upon once for each champion: where a search found nothing
    better, drift that stays would start one every night; the weekly search goes on anyway.

    Args:
        interval_s: Seconds between ticks.
        specs: All solutions.
    """
    specs = [spec for spec in specs if spec.trigger.on_drift and MONITORING in family_of(spec).parts]

    @dg.sensor(
        name="skill_lost",
        job_name=RETRAIN,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Inputs or scores of a champion drifted, or its live skill is lost: search anew.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if (reason := busy(plant().home)) is not None:
            return reason
        known = read_cursor(context.cursor)
        seen = _findings(ours_of(context), specs, known)
        fresh = [spec for spec in specs if _is_fresh(seen.get(spec.solution), known.get(spec.solution))]
        requests = [_request(fresh, seen)] if fresh else []
        skip = None if fresh else "no champion drifted or lost skill since the last look"
        return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=write_cursor(seen))

    return sense


def _findings(ours: Ours, specs: Sequence[SolutionSpec], known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Failed monitoring checks by solution: the champion's version and the number of each cause's evaluation.

    A check whose run is not over (or was killed) leaves what was known.
    """
    keys = {
        dg.AssetCheckKey(solution_key(spec, MONITORING), name): (spec.solution, name)
        for spec in specs
        for name in family_of(spec).checks[MONITORING]
    }
    found: dict[str, dict[str, Any]] = {}
    for key, record in ours.newest_checks(list(keys)).items():
        solution, cause = keys[key]
        verdict = record.evaluation
        if not isinstance(verdict, dg.AssetCheckEvaluation):
            before = known.get(solution, {"version": "", "causes": {}})
            if cause in before["causes"]:
                found.setdefault(solution, {"version": before["version"], "causes": {}})
                found[solution]["causes"][cause] = before["causes"][cause]
        elif not verdict.passed:
            version = str(verdict.metadata["version"].value) if "version" in verdict.metadata else ""
            found.setdefault(solution, {"version": version, "causes": {}})["causes"][cause] = record.id
    return found


def _is_fresh(seen: Mapping[str, Any] | None, known: Mapping[str, Any] | None) -> bool:
    if seen is None:
        return False
    return known is None or seen["version"] != known["version"] or not set(seen["causes"]) <= set(known["causes"])


def _request(fresh: Sequence[SolutionSpec], seen: Mapping[str, Mapping[str, Any]]) -> dg.RunRequest:
    evaluations = sorted(str(number) for spec in fresh for number in seen[spec.solution]["causes"].values())
    causes = sorted({cause for spec in fresh for cause in seen[spec.solution]["causes"]})
    return dg.RunRequest(
        run_key=f"evaluations {' '.join(evaluations)}",
        asset_selection=[solution_key(spec, part) for spec in fresh for part in family_of(spec).parts],
        tags={
            SOLUTION_TAG: ", ".join(spec.solution for spec in fresh),
            CAUSE_TAG: ", ".join(causes),
            **{version_tag(spec.slug): seen[spec.solution]["version"] for spec in fresh},
        },
    )
