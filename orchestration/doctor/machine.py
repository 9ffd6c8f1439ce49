"""Looks at the machine: Python and packages, DuckDB's extensions, folders, disk, clock, ports, files with secrets."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Final

import duckdb
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from models.registry.key import KEY_BYTES, key_file
from orchestration.cli.serve import DAGSTER_PORT, HOST, MLFLOW_PORT
from orchestration.doctor.finding import GIGABYTE, Finding, Installation, error, of, ok, warning
from orchestration.environment import project_root
from orchestration.metrics.serve import PORT as METRICS_PORT
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import extension_file, reader
from pipelines.lake.sql import quote_literal

LEAST_FREE_BYTES: Final = 2 * GIGABYTE
"""Below it a night's spill files and new data may not fit."""
FEW_FREE_BYTES: Final = 10 * GIGABYTE
_SHOWN = 8
_FUTURE_S = 300.0


def python(_: Installation) -> Iterator[Finding]:
    """The interpreter is one that the platform is made for."""
    wanted, found = str(metadata("cellworks")["Requires-Python"]), platform.python_version()
    if found in SpecifierSet(wanted):
        yield ok(f"Python {found}")
    else:
        yield error(f"Python {found}, where {wanted} is wanted", "run `make setup PYTHON=python3.11` on one of these")


def packages(_: Installation) -> Iterator[Finding]:
    """What is installed is what the lock names, and what the platform needs is there.

    The lock names developers' packages and extras too, which a container leaves out: a version of theirs is compared
    where they are there.
    """
    lock = project_root() / "requirements.lock"
    if not lock.is_file():
        yield warning("there is no requirements.lock, so packages can't be compared", "install from a clone")
        return
    named = [Requirement(line.rstrip(" \\")) for line in lock.read_text().splitlines() if line[:1].isalnum()]
    needed = _needed()
    found = {each: _installed(each.name) for each in named if each.marker is None or each.marker.evaluate()}
    compared = {
        each: there for each, there in found.items() if there is not None or canonicalize_name(each.name) in needed
    }
    shown = [
        f"{each.name} {there or 'none'}, not {str(each.specifier)[2:]}"
        for each, there in compared.items()
        if there is None or there not in each.specifier
    ]
    if not shown:
        yield ok(f"{len(compared)} packages as the lock names them")
        return
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    yield error(f"installed is not what the lock names: {'; '.join(shown[:_SHOWN])}{more}", "run `make setup`")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _needed() -> set[str]:
    """Names of the packages that the platform needs, with those of its extras whose own packages are there."""
    extras = metadata("cellworks").get_all("Provides-Extra") or []
    there = [extra for extra in extras if all(_installed(each.name) for each in _asked("cellworks", extra))]
    todo, seen = [("cellworks", extra) for extra in ("", *there)], set[tuple[str, str]]()
    while todo:
        if (each := todo.pop()) in seen:
            continue
        seen.add(each)
        todo += [(canonicalize_name(asked.name), extra) for asked in _asked(*each) for extra in ("", *asked.extras)]
    return {name for name, _ in seen}


def _asked(name: str, extra: str) -> list[Requirement]:
    """What a package itself asks for on this machine: without an extra, or for that one alone."""
    try:
        asked = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []
    always = [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [each for each in asked if each not in always and each.marker and each.marker.evaluate({"extra": extra})]


def extensions(it: Installation) -> Iterator[Finding]:
    """DuckDB's extensions are there and load."""
    names = it.stores.extensions if it.stores is not None else ("ducklake", "sqlite_scanner")
    with duckdb.connect(":memory:") as con:
        for name in names:
            try:
                con.execute(f"LOAD {quote_literal(extension_file(name))}")
            except CellworksError as problem:
                yield of(problem)
            except duckdb.Error as problem:
                yield error(f"extension {name} does not load: {str(problem).splitlines()[0]}", "run `make setup`")
            else:
                yield ok(f"DuckDB {duckdb.__version__} loads {name}")


def folders(it: Installation) -> Iterator[Finding]:
    """The home and what lies in it can be written."""
    home = it.home
    if not home.root.exists():
        yield warning(f"there is no home yet at {home.root}", "run `cellworks init`, or correct CELLWORKS_HOME")
        return
    named = (home.lake_dir, home.data_dir, home.drop_dir, home.dagster_dir, home.dbt_dir, home.gx_dir)
    wrong = [problem for folder in (home.root, *named) if folder.exists() and (problem := _unwritable(folder))]
    yield from wrong or [ok(f"{home.root} can be written")]


def _unwritable(folder: Path) -> Finding | None:
    if not folder.is_dir():
        return error(f"{folder} is no folder", "move it away; the next command makes the folder")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as problem:
        return error(
            f"{folder} can't be written: {problem.strerror}", f"give this user rights: chown -R $USER {folder}"
        )


def disk(it: Installation) -> Iterator[Finding]:
    """There is room."""
    folder = next(each for each in (it.home.root, *it.home.root.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    told = f"{free / GIGABYTE:.1f} GB are free on the disk of {folder}"
    mend = "make room, or run the job `maintenance`, which lets old snapshots go"
    if free < LEAST_FREE_BYTES:
        yield error(f"{told}, less than a night needs", mend)
    elif free < FEW_FREE_BYTES:
        yield warning(told, mend)
    else:
        yield ok(told)


def clock(it: Installation) -> Iterator[Finding]:
    """The machine's clock fits what was delivered."""
    now = time.time()
    ahead = [file for file in _delivered(it) if file.stat().st_mtime > now + _FUTURE_S]
    if ahead:
        yield error(
            f"{len(ahead)} delivered files are from the future, such as {ahead[0].name}: this clock or theirs is wrong",
            "set the clock by NTP on both machines; then `touch` the files",
        )
    newest = _newest_record(it)
    lead_d = None if newest is None else (newest - now) / 86400
    if lead_d is not None and it.site is not None and lead_d > it.site.clock_lead_d:
        yield error(
            f"the newest record is {lead_d:.1f} days ahead of this clock, more than clock_lead_d of site.yaml",
            "set this machine's clock; what lies further ahead is set aside until then",
        )
    elif not ahead:
        yield ok(
            "the clock fits the deliveries" + ("" if lead_d is None else f"; the newest is {-lead_d:.1f} days old")
        )


def _delivered(it: Installation) -> list[Path]:
    from pipelines.ingest.drop_folder import files_of

    if it.site is None:
        return []
    folders = [
        Path(source.folder.replace("${home}", str(it.home.root)))
        for source in it.site.sources
        if source.kind == "drop_folder"
    ]
    return [path for folder in folders if folder.is_dir() for _, path, _ in files_of(it.site, folder)]


def _newest_record(it: Installation) -> float | None:
    """Seconds since 1970 of the newest record; None before there is one, or while the lake can't be read."""
    try:
        if it.stores is None or not it.home.has_lake:
            return None
        with reader(it.home) as con:
            row = con.execute("SELECT epoch(max(max_known_at)) FROM lake.ops.ingest_offset").fetchone()
    except (CellworksError, duckdb.Error):  # the look at the lake tells it
        return None
    return None if row is None or row[0] is None else float(row[0])


def ports(_: Installation) -> Iterator[Finding]:
    """The ports that the platform serves on are free, or it serves there already."""
    for port, command in (
        (DAGSTER_PORT, "ui --dagster-port"),
        (MLFLOW_PORT, "ui --mlflow-port"),
        (METRICS_PORT, "metrics serve --port"),
    ):
        with socket.socket() as probe:
            probe.settimeout(1.0)
            is_taken = probe.connect_ex((HOST, port)) == 0
        if is_taken:
            mend = f"fine if that is cellworks already; else give another one: `cellworks {command}`"
            yield warning(f"something listens on {HOST}:{port}", mend)
        else:
            yield ok(f"{HOST}:{port} is free")


def secrets(it: Installation) -> Iterator[Finding]:
    """Files that hold secrets are their owner's alone."""
    named = {"registry.key": key_file(it.home)}
    named |= {name: Path(os.environ[name]) for name in _SECRET_FILES if os.environ.get(name)}
    for name, file in named.items():
        if not file.is_file():
            if name in _SECRET_FILES:
                yield error(f"{name} names {file}, which is no file", f"correct {name}")
            continue
        if file == key_file(it.home) and file.stat().st_size != KEY_BYTES:
            mend = "put it back from a back-up; under another no model counts until the next nights have judged anew"
            yield error(f"{file} holds no key: {file.stat().st_size} bytes, not {KEY_BYTES}", mend)
        if open_to := file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield error(f"{file} holds a secret and is open to others (mode {open_to:o} of them)", f"chmod 600 {file}")
        else:
            yield ok(f"{file} is its owner's alone")


_SECRET_FILES = ("PGPASSFILE", "AWS_SHARED_CREDENTIALS_FILE")
