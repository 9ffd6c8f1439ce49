"""Instances of the benchmark's own, so that one measurement does not warm or spoil the next."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.lake.home import Home

CopyFile = Callable[[str, str], object]


def fresh(folder: Path) -> Home:
    """An empty instance; what was there is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    return Home(folder).ensure()


def with_lake(folder: Path, source: Home) -> Home:
    """A fresh instance that begins with another one's lake; its data files are shared, since nobody changes them."""
    home = fresh(folder)
    shutil.copytree(source.lake_dir, home.lake_dir, copy_function=_linked, dirs_exist_ok=True)
    return home


def deliver(home: Home, drop: Path, endings: Iterable[str] = ("",)) -> None:
    """Put the files of a drop folder that have one of the endings into an instance's own.

    Args:
        home: The instance.
        drop: Folder with a folder per feed.
        endings: Whole endings, such as `.csv.gz`; the empty one stands for all.
    """
    wanted = set(endings)
    for file in sorted(each for each in drop.glob("*/*") if each.is_file()):
        if "" in wanted or ending(file) in wanted:
            target = home.drop_dir / file.parent.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)


def take_database(home: Home, erp_file: Path) -> None:
    """Give an instance its own copy of the plant's database."""
    if erp_file.is_file():
        shutil.copyfile(erp_file, home.erp_file)


def ending(file: Path) -> str:
    """`.csv.gz` of `mes__roll_2026-09-01.csv.gz`."""
    return "." + file.name.split(".", 1)[1] if "." in file.name else ""


def _linked(source: str, target: str) -> object:
    if source.endswith(".parquet"):
        os.link(source, target)
        return target
    return shutil.copyfile(source, target)
