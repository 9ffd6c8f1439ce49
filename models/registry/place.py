"""A home that was moved or copied: MLflow keeps whole addresses of its artifacts, and they follow the home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier

_BELOW: Final = "/mlflow/artifacts/"


def follow(registry: Path) -> None:
    """Let the addresses in a home's registry name the artifacts beside it; nothing happens where they do.

    Without it a copy of a home would write its models into the home that it was copied from, and a home that was
    moved would find none. Only artifacts that came along are named anew.

    Args:
        registry: MLflow's SQLite file, which lies beside the folder `artifacts`; it need not be there.

    Raises:
        CellworksError: the file is damaged, or another process holds it.
    """
    own = str(registry.parent / "artifacts")
    if not registry.is_file():
        return
    try:
        for root in _other_roots(registry, own):
            rewrite(registry, root, own)
    except sqlite3.Error as error:
        raise CellworksError(
            "MLflow does not answer",
            expected=f"a SQLite file that can be read and written at {registry}",
            found=str(error),
            mend="end what holds it, or restore a backup; nothing was written",
        ) from error


def elsewhere(registry: Path) -> list[str]:
    """Roots of other homes that `follow` would let the registry's addresses name no more."""
    return _other_roots(registry, str(registry.parent / "artifacts")) if registry.is_file() else []


def root_uri(artifacts: str) -> str:
    """A root of artifacts as MLflow writes it into its tables."""
    return artifacts if artifacts.startswith("s3://") else Path(artifacts).as_uri()


def rewrite(file: Path, old_root: str, new_root: str) -> None:
    """Rewrite the artifacts' addresses in a SQLite file of MLflow, all or none."""
    old, new = root_uri(old_root), root_uri(new_root)
    if old == new:
        return
    with closing(sqlite3.connect(file)) as con, con:
        tables = [name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        for table in tables:
            for _, column, kind, *_ in con.execute(f"PRAGMA table_info({quote_identifier(table)})").fetchall():
                if not kind.upper().startswith(("VARCHAR", "TEXT")):
                    continue
                quoted = quote_identifier(column)
                con.execute(
                    f"UPDATE {quote_identifier(table)} SET {quoted} = ? || substr({quoted}, ?) "
                    f"WHERE substr({quoted}, 1, ?) = ?",
                    [new, len(old) + 1, len(old) + 1, f"{old}/"],
                )


def _other_roots(file: Path, own: str) -> list[str]:
    """Roots of other homes whose experiments' folders lie below our own root too."""
    with closing(sqlite3.connect(file)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return []  # MLflow makes its tables when it is first asked
        named = con.execute(
            "SELECT artifact_location FROM experiments "
            "WHERE artifact_location LIKE ? AND substr(artifact_location, 1, ?) <> ?",
            [f"file:%{_BELOW}%", len(root_uri(own)) + 1, f"{root_uri(own)}/"],
        ).fetchall()
    places = (unquote(urlsplit(each).path).rpartition(_BELOW) for (each,) in named)
    return sorted({f"{root}{_BELOW.rstrip('/')}" for root, _, name in places if (Path(own) / name).is_dir()})
