"""The connection to MLflow: telemetry off, short waits, and an error a person can read when it is not there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from models.context import ModelContext
from models.registry.place import follow
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

_PAGE = 1000
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # as in pipelines.lake.objects
}


def quiet() -> None:
    """Set MLflow's environment before its first import; a user's own value wins, telemetry stays off."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


def open_client(ctx: ModelContext) -> Any:
    """A client of the context's MLflow.

    Raises:
        CellworksError: MLflow does not answer.
    """
    return open_at(ctx.tracking_uri)


def has_registry(home: Home) -> bool:
    """Whether there is a registry to ask; to open one in a file would make it."""
    file = _sqlite_file(home.stores.mlflow_uri)
    return file is None or file.is_file()


def open_home(home: Home) -> Any:
    """A client of a home's own MLflow."""
    return open_at(home.stores.mlflow_uri)


def open_at(uri: str) -> Any:
    """A client of an address; see `open_client`."""
    quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own making, nothing a user can act upon
        import mlflow
        from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        _make_folder(uri)
        # MLflow's stores look models up through the process-wide address, so it has to be this one.
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        with _alone(uri):
            if file := _sqlite_file(uri):
                follow(file)
            client = mlflow.MlflowClient(uri, registry_uri=uri)
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise CellworksError(
            "MLflow does not answer",
            expected=f"a tracking server or SQLite file at {uri}",
            found=str(error).splitlines()[0][:300],
            mend="start it, or correct the address; nothing was written",
        ) from error
    return client


def pages(search: Callable[..., Any], *asked: Any) -> Iterator[Any]:
    """Everything that a search of the client finds: MLflow gives it by pages, and leaves the rest out of one."""
    token = None
    while True:
        page = search(*asked, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _make_folder(uri: str) -> None:
    """SQLite creates its file, not the folder."""
    if file := _sqlite_file(uri):
        file.parent.mkdir(parents=True, exist_ok=True)


def _alone(uri: str) -> AbstractContextManager[object]:
    """Whoever opens a SQLite file first makes its tables; two who do so at once would both fail."""
    file = _sqlite_file(uri)
    return FileLock(f"{file}.lock") if file else nullcontext()


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def experiment_id(client: Any, ctx: ModelContext, name: str) -> str:
    """The experiment of a solution, made on first use; artifacts go below the home unless a server keeps them."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    stores = ctx.home.stores
    own = ctx.tracking_uri == stores.mlflow_uri
    location = _artifacts(stores.mlflow_artifacts, name.replace("/", ".")) if own else None
    return str(client.create_experiment(name, artifact_location=location))


def _artifacts(root: str, name: str) -> str:
    return f"{root}/{name}" if root.startswith("s3://") else (Path(root) / name).as_uri()
