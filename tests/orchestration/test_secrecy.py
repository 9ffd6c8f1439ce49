"""A secret that an error, a message or a finding holds is nowhere afterwards: neither kept, nor printed, nor told."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.cli.plant_commands import prepare_instance
from orchestration.output import HiddenStream, hide_in_output
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.redaction import Redaction
from pipelines.lake.stores import database_url
from tests.end_to_end.conftest import wait_for
from tests.servers import SECRET

if TYPE_CHECKING:
    import dagster as dg

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MLFLOW_PASSWORD, URL_PASSWORD, NAMED = "planted-mlflow/password", "planted@url", "unknown-elsewhere"
PLANTED = (SECRET, MLFLOW_PASSWORD, URL_PASSWORD, quote(URL_PASSWORD, safe=""), NAMED)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of each kind in the environment, as a process of ours has them."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)  # that of the S3 endpoint of tests on servers
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", MLFLOW_PASSWORD)
    monkeypatch.setenv("PLANT_ERP_URL", f"postgresql://me:{quote(URL_PASSWORD, safe='')}@erp.example:5432/erp")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of Dagster's own making
@pytest.mark.usefixtures("planted")
def test_no_secret_of_a_failing_run_or_tick_is_kept_anywhere(
    stores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    prepare_instance(plant())
    with dg.DagsterInstance.get() as instance, _daemon(tmp_path / "home" / "daemon.log"):
        wait_for("ticks that failed", lambda: len(_failed_ticks(instance)) == 2)
        wait_for("the run's end", lambda: [run for run in instance.get_runs() if run.is_finished])
        ticks = _failed_ticks(instance)
        [run] = instance.get_runs()
        events = instance.all_logs(run.run_id)
    kept = [*_files(tmp_path), *(_tables() if stores == "servers" else [])]
    assert [(where, secret) for where, text in kept for secret in PLANTED if secret.encode() in text] == []
    # What a person needs is still there: what failed, where, and how to mend it.
    failed = {event.step_key: str(event.dagster_event) for event in events if _is(event, "STEP_FAILURE")}
    hooks = [str(event.dagster_event) for event in events if _is(event, "HOOK_ERRORED")]
    assert set(failed) == {"fails", "gives_up", "rows_looks"}
    for told, who in [
        (failed["fails"], "the asset"),
        (failed["rows_looks"], "the check"),
        (hooks[0], "the hook"),
        (ticks["breaks"], "the sensor"),
        (ticks["breaks_after"], "the failure sensor"),
    ]:
        assert f"{who} can't read source 'erp'" in told
        assert "check `sources:`" in told
        assert "site.yaml:12" in told
        assert "connection to postgresql://me:[redacted]@erp.example:5432/erp failed" in told
        assert "SignatureDoesNotMatch" in told
        assert "leaking_location.py" in told
    assert "given up with [redacted]" in failed["gives_up"]
    whole = b"".join(text for where, text in kept if "compute_logs" in where)
    assert b"printed [redacted]" in whole
    assert b"warned of [redacted]" in whole


def _is(event: Any, kind: str) -> bool:
    return event.is_dagster_event and event.dagster_event.event_type_value == kind


@contextlib.contextmanager
def _daemon(log: Path) -> Iterator[None]:
    command = [str(BIN / "dagster-daemon"), "run", "-m", "tests.orchestration.leaking_location", "-d", str(ROOT)]
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=ROOT, env=os.environ.copy())
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _failed_ticks(instance: dg.DagsterInstance) -> dict[str, str]:
    """Why the newest failed tick of each sensor failed, by its name."""
    return {
        state.instigator_name: str(tick.error)
        for state in instance.all_instigator_state()
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=5)
        if tick.error is not None
    }


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file below the folder with all its bytes; a database of SQLite is one, its log another."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(folder)), file.read_bytes()


def _tables() -> Iterator[tuple[str, bytes]]:
    """Each table of Dagster's database as text."""
    con = psycopg2.connect(database_url(os.environ["CELLWORKS_POSTGRES_URL"], "dagster"))
    with contextlib.closing(con), con.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            yield table, "\n".join(row for (row,) in cursor.fetchall()).encode()


@pytest.mark.usefixtures("planted")
def test_no_metadata_that_can_hold_text_keeps_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    import dagster as dg
    from dagster._core.events import DagsterEvent, StepMaterializationData
    from dagster._core.events.log import EventLogEntry
    from dagster._serdes import serialize_value

    from orchestration.secrecy import without_secrets

    def told(secret: str) -> str:
        value = dg.MetadataValue
        metadata = {
            "text": secret,
            "markdown": value.md(secret),
            "json": {"deep": [secret]},
            "url": value.url(secret),
            "path": value.path(secret),
            "notebook": value.notebook(secret),
            "table": value.table([dg.TableRecord({"x": secret})]),
        }
        # The asset is called as the secret is; the event must still be found by it.
        found = dg.AssetMaterialization("planted_name", description=secret, metadata=metadata)
        event = DagsterEvent(
            "ASSET_MATERIALIZATION", "job", event_specific_data=StepMaterializationData(found), message=secret
        )
        return serialize_value(without_secrets(EventLogEntry(None, 10, secret, "run", 0.0, None, "job", event)))

    assert told(MLFLOW_PASSWORD) == told("[redacted]")
    assert SECRET not in told(SECRET)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = "planted_name"
    assert '"path": ["planted_name"]' in told("planted_name")
    assert told("planted_name").count("planted_name") == 1


@pytest.mark.usefixtures("planted")
def test_an_error_that_dagster_shows_is_hidden_through_its_whole_chain() -> None:
    from dagster._utils.error import serializable_error_info_from_exc_info

    from orchestration.secrecy import hide
    from tests.orchestration.leaking_location import refuse

    hide()
    with pytest.raises(CellworksError) as told:
        refuse("the step")
    shown = str(serializable_error_info_from_exc_info((told.type, told.value, told.tb)))
    assert not [secret for secret in PLANTED if secret in shown]
    assert shown.count("[redacted]") == 3


@pytest.mark.usefixtures("planted")
def test_what_is_printed_is_hidden_also_by_handlers_that_were_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", seen)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    logger = logging.getLogger("tests.secrecy")
    logger.addHandler(logging.StreamHandler())
    hide_in_output()
    hide_in_output()  # a second time adds nothing
    logger.warning("handled %s", SECRET)
    print("printed", MLFLOW_PASSWORD, os.environ["PLANT_ERP_URL"], file=sys.stderr)
    sys.stderr.writelines([f"line {SECRET}\n"])
    logger.handlers.clear()
    assert seen.getvalue().splitlines() == [
        "handled [redacted]",
        "printed [redacted] postgresql://me:[redacted]@erp.example:5432/erp",
        "line [redacted]",
    ]
    assert isinstance(sys.stderr, HiddenStream)
    assert not sys.stderr.isatty()


@pytest.mark.usefixtures("planted")
def test_the_doctors_document_holds_no_secret(here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # Each is somewhere where a person may have put it by mistake, or is what a server refuses.
    monkeypatch.setenv("CELLWORKS_ENV", "servers")
    monkeypatch.setenv("CELLWORKS_POSTGRES_URL", os.environ["PLANT_ERP_URL"])
    monkeypatch.setenv("CELLWORKS_S3_URL", f"s3://key:{MLFLOW_PASSWORD}@bucket")
    told = here("doctor", "--json")
    assert not [secret for secret in PLANTED if secret in told.stdout + told.stderr]
    assert "holds a password" in told.stdout
    assert "PGPASSFILE" in told.stdout
    json.loads(told.stdout)


_SECRETISH = st.sampled_from(["password", "aws_secret_access_key", "api-key", "auth_token", "name", "tokens"])
_DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_SECRETISH | st.text(), below, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_DOCUMENT, st.integers(0, 2))
def test_a_document_of_json_is_one_after_it_was_redacted_twice(document: Any, indent: int) -> None:
    hidden = Redaction()
    once = hidden(json.dumps(document, indent=indent or None))
    json.loads(once)
    assert hidden(once) == once
