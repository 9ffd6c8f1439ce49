"""What MLflow keeps of runs and versions that are gone for good, and no door of it lets go.

`mlflow gc` takes a run's metrics, parameters and tags, and leaves the rows that say what it read and wrote, the data
sets with their lists of columns, and empty folders; `delete_model_version` leaves the version's row and tags. Nothing
can ask for them any more, and a plant that trains each night grows by them. Rows go by MLflow's own definitions of its
tables, whose version is pinned.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path


def clear(uri: str) -> int:
    """Let go what names a run that is gone, data sets that no run names, and deleted versions with their tags.

    A run or model that was deleted and can still be restored keeps all of its own. A model's newest version stays, even
    deleted: MLflow gives the next one a number above it, and no number may be given twice. The caller sees to it that
    nobody trains meanwhile: a new run that reads the same rows takes up a data set that is there.

    PostgreSQL is told at once that the room of what went, here and by `mlflow gc`, is free. By itself it waits until a
    fifth of a table is, and indexes by name and time take new pages until then.

    Args:
        uri: MLflow's database.

    Returns:
        Rows that went.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints
        from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
        from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag
        from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput, SqlInputTag, SqlRun
    from sqlalchemy import and_, create_engine, delete, func, or_, select, tuple_

    runs = select(SqlRun.run_uuid)
    of_lost_runs = or_(
        and_(SqlInput.destination_type == "RUN", SqlInput.destination_id.not_in(runs)),
        and_(SqlInput.source_type.in_(("RUN_INPUT", "RUN_OUTPUT")), SqlInput.source_id.not_in(runs)),
    )
    named = select(SqlInput.source_id).where(SqlInput.source_type == "DATASET")
    columns = ("workspace", "name", "version")
    of_tag = tuple_(*(getattr(SqlModelVersionTag, each) for each in columns))
    is_deleted = SqlModelVersion.current_stage == STAGE_DELETED_INTERNAL
    gone = select(*(getattr(SqlModelVersion, each) for each in columns)).where(is_deleted)
    model = (SqlModelVersion.workspace, SqlModelVersion.name)
    newest = select(*model, func.max(SqlModelVersion.version)).group_by(*model)
    # In this order: a tag refers to its row, and a data set is free once no row names it.
    statements = (
        delete(SqlInputTag).where(SqlInputTag.input_uuid.in_(select(SqlInput.input_uuid).where(of_lost_runs))),
        delete(SqlInput).where(of_lost_runs),
        delete(SqlDataset).where(SqlDataset.dataset_uuid.not_in(named)),
        delete(SqlModelVersionTag).where(of_tag.in_(gone)),
        delete(SqlModelVersion).where(is_deleted, tuple_(*model, SqlModelVersion.version).not_in(newest)),
    )
    engine = create_engine(uri)
    try:
        with engine.begin() as con:
            went = sum(con.execute(each).rowcount for each in statements)
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as con:
                con.exec_driver_sql("VACUUM")
        return went
    finally:
        engine.dispose()


def sweep(root: Path, untouched_s: float) -> int:
    """Remove empty folders below a folder that nobody has touched for so long; a parent may go the next time.

    Returns:
        How many went.
    """
    before = time.time() - untouched_s
    found = [Path(folder) for folder, _, _ in os.walk(root, topdown=False) if Path(folder) != root]
    old = [each for each in found if each.stat().st_mtime < before and not any(each.iterdir())]
    for each in old:
        each.rmdir()
    return len(old)
