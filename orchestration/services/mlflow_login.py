"""MLflow's own auth app: its settings, and the two users that it knows.

Nobody of the platform signs in there: it talks to MLflow's database. Behind the gateway everybody looks as `viewer`,
whose password the gateway has; `admin` is for whoever must mend something in MLflow itself.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.servers import connect

ADMIN: Final = "admin"
VIEWER: Final = "viewer"
ADMIN_VARIABLE: Final = "MLFLOW_AUTH_ADMIN_PASSWORD"
"""MLflow's own name of it; MLflow makes its first user with it where `ensure_users` has not."""
VIEWER_VARIABLE: Final = "CELLWORKS_MLFLOW_PASSWORD"
CONFIG_VARIABLE: Final = "MLFLOW_AUTH_CONFIG_PATH"
KEY_VARIABLE: Final = "MLFLOW_FLASK_SERVER_SECRET_KEY"
_SCHEMA: Final = "logins"
"""Of its own: what moves and backs up MLflow's database takes `public`, and users are made where they are needed."""
_SETTINGS: Final = """\
[mlflow]
default_permission = READ
database_uri = {url}
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def users_url(mlflow_url: str) -> str:
    """Where the users are: MLflow's database, a schema of its own."""
    parts = urlsplit(mlflow_url)
    own = f"options=-csearch_path={_SCHEMA}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{own}" if parts.query else own))


def settings_text(mlflow_url: str) -> str:
    """The auth app's settings; no password is in them."""
    return _SETTINGS.format(url=users_url(mlflow_url).replace("%", "%%"), admin=ADMIN)


def ensure_users(mlflow_url: str, admin_password: str, viewer_password: str) -> None:
    """Make both users, or give them these passwords: the database follows the file of secrets, never the reverse.

    Args:
        mlflow_url: address of MLflow's database, without a password.
        admin_password: of `admin`, who may do everything in MLflow.
        viewer_password: of `viewer`, who sees everything and changes nothing that is there.

    Raises:
        CellworksError: PostgreSQL does not answer, or MLflow takes no such password.
    """
    from mlflow.exceptions import MlflowException

    with closing(connect(mlflow_url)) as con, con.cursor() as cursor:
        cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{_SCHEMA}"')
    with users(mlflow_url) as store:
        try:
            for name, password, is_admin in ((ADMIN, admin_password, True), (VIEWER, viewer_password, False)):
                if store.has_user(name):
                    store.update_user(name, password=password, is_admin=is_admin)
                else:
                    store.create_user(name, password, is_admin=is_admin)
        except MlflowException as error:
            raise CellworksError(
                "MLflow does not take a password",
                expected="letters and digits, 12 or more",
                found=error.message,
                mend=f"make longer ones, and give them as {ADMIN_VARIABLE} and {VIEWER_VARIABLE}",
            ) from error


@contextmanager
def users(mlflow_url: str) -> Iterator[Any]:
    """MLflow's own store of its users, a `SqlAlchemyStore`; its tables are made where they are not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow imports a part that Starlette is about to drop
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
    store = SqlAlchemyStore()
    store.init_db(users_url(mlflow_url))
    try:
        yield store
    finally:
        store.engine.dispose()


def ensure_users_told(mlflow_url: str) -> bool:
    """Make the users whose passwords the environment holds, as in containers. Returns whether it holds any.

    Raises:
        CellworksError: it holds one of the two; see also `ensure_users`.
    """
    told = {name: os.environ.get(name, "") for name in (ADMIN_VARIABLE, VIEWER_VARIABLE)}
    missing = [name for name, value in told.items() if not value]
    if len(missing) == len(told):
        return False
    if missing:
        raise CellworksError(
            "of MLflow's two users only one has a password",
            expected=f"{ADMIN_VARIABLE} and {VIEWER_VARIABLE}, or neither",
            found=f"no {missing[0]}",
            mend=f"set {missing[0]}, from the same Secret or file as the other",
            where=missing[0],
        )
    ensure_users(mlflow_url, told[ADMIN_VARIABLE], told[VIEWER_VARIABLE])
    return True
