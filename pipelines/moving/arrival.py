"""What the servers remember of an instance that is brought to them, so that a killed attempt goes on."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.servers import connect
from pipelines.lake.stores import Stores
from pipelines.moving.tables import rows_in
from pipelines.moving.trees import Bucket


def arrive(stores: Stores, source: str) -> bool:
    """Note that a source is on its way; the caller holds the writer lock.

    Args:
        stores: the servers.
        source: what tells one source from another.

    Returns:
        Whether it is there already, in whole.

    Raises:
        CellworksError: the servers hold another instance, or another source is on its way.
    """
    con = connect(stores.lake_url or "")
    try:
        with con.cursor() as cursor:
            cursor.execute("SELECT to_regclass('cellworks.arrival') IS NOT NULL")
            if not cursor.fetchone()[0]:
                _refuse_occupied(stores)
                cursor.execute("CREATE SCHEMA IF NOT EXISTS cellworks")
                cursor.execute(
                    "CREATE TABLE cellworks.arrival AS "
                    "SELECT %s::text AS source, now() AS began, NULL::timestamptz AS ended",
                    [source],
                )
                return False
            cursor.execute("SELECT source, ended IS NOT NULL FROM cellworks.arrival")
            known, is_whole = cursor.fetchone()
    finally:
        con.close()
    if known != source:
        raise _occupied("another instance was brought here, or is on its way", str(known))
    return bool(is_whole)


def refuse_gone_on(stores: Stores, number: int, at_s: float) -> None:
    """Refuse to take a source for moved that has written since: what it wrote would be passed over unseen.

    Args:
        stores: the servers, where the source arrived.
        number: the source's newest snapshot.
        at_s: when it was made, s since 1970.

    Raises:
        CellworksError: the servers don't have it, and it is younger than the arrival.
    """
    con = connect(stores.lake_url or "")
    try:
        with con.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM ended) >= %(at)s OR EXISTS (SELECT FROM ducklake_snapshot "
                "WHERE snapshot_id = %(number)s AND abs(extract(epoch FROM snapshot_time) - %(at)s) < 0.001) "
                "FROM cellworks.arrival",
                {"at": at_s, "number": number},
            )
            (is_older,) = cursor.fetchone()
    finally:
        con.close()
    if not is_older:
        made = datetime.fromtimestamp(at_s, UTC)
        raise CellworksError(
            "this instance was moved before, and its files have gone on since",
            expected="files as they were moved",
            found=f"snapshot {number} of {made:%Y-%m-%d %H:%M} UTC, which the servers don't have",
            mend="go on with the servers, or name empty ones to move this state to; nothing was changed",
        )


def _refuse_occupied(stores: Stores) -> None:
    found = {
        "snapshots of a lake": rows_in(stores.lake_url or "", "ducklake_snapshot"),
        "runs of Dagster": rows_in(stores.dagster_url or "", "runs"),
        "runs of MLflow": rows_in(stores.mlflow_uri, "runs"),
    }
    if stores.objects is not None:
        found["objects"] = len(Bucket(stores.objects, stores.objects.url).sizes())
    if held := ", ".join(f"{count} {what}" for what, count in found.items() if count):
        raise _occupied("the servers hold an instance already", held)


def _occupied(what: str, found: str) -> CellworksError:
    return CellworksError(
        what,
        expected="empty databases and an empty prefix",
        found=found,
        mend="name others with CELLWORKS_POSTGRES_URL and CELLWORKS_S3_URL; nothing was changed",
    )
