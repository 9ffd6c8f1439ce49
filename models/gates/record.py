"""A verdict of any family into MLflow: sealed on the version, its figures in the run, the snapshot held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.context import ModelContext
from models.gates.verdict import Verdict
from models.registry.published import hold_holdout
from models.registry.versions import Version, tag_verdict, verdict_files
from models.solution import SolutionSpec
from pipelines.lake.files import file_suffix


def record(client: Any, spec: SolutionSpec, ctx: ModelContext, version: Version, verdict: Verdict) -> Verdict:
    """Write a verdict: sealed tags on the version, figures as an artifact, gates as metrics of the run.

    Args:
        client: MLflow's client.
        spec: the solution.
        ctx: the snapshot that the hold-out was read at; it stays pinned as long as the version does.
        version: the judged version.
        verdict: what judging said.

    Returns:
        The verdict with the snapshot.
    """
    verdict = replace(verdict, snapshot=ctx.snapshot if file_suffix(spec.table) is None else None)
    hold_holdout(ctx, spec, version)
    earlier = len(verdict_files(client, version.run_id, version.number))
    suffix = f"_{earlier + 1}" if earlier else ""
    client.log_dict(version.run_id, _plain(verdict.as_json()), f"verdict_{version.number}{suffix}.json")
    for gate in verdict.gates:
        client.log_metric(version.run_id, f"gate_{gate.name}", float(gate.passed))
    tag_verdict(client, ctx.home, version, verdict.status, verdict.sentence)
    return verdict


def _plain(value: Any) -> Any:
    """Figures as JSON: numpy scalars to numbers, what is not finite to text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
