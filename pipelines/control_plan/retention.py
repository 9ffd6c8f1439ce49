"""How long an instance keeps what nobody points to any more."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.control_plan.feeds import Model

Days = Annotated[float, Field(gt=0, le=36_500)]


class Retention(Model):
    """What maintenance keeps, beside what champions, rollback targets, audits and open actions point to.

    Attributes:
        keep_snapshots_days: Age up to which every snapshot of the lake stays.
        keep_replaced_files_h: Hours that replaced data files of the lake stay for queries that still read them.
        keep_runs_days: Age, since its end, up to which a Dagster run with its events, checks and logs stays, and a
            training run in MLflow that led to no version.
        keep_model_versions: Newest versions of each model that stay beside those that something points to.
        keep_deleted_days: How long what was deleted in MLflow, by maintenance or a person, can still be restored.
    """

    keep_snapshots_days: Days = 7
    keep_replaced_files_h: Annotated[float, Field(gt=0)] = 6
    keep_runs_days: Days = 90
    keep_model_versions: Annotated[int, Field(ge=1)] = 10
    keep_deleted_days: Days = 7
