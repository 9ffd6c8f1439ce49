"""A site that inherits another one's files: what is merged by which rule, and in which file a mistake then lies.

Belongs here: `inherits` of site.yaml. Not here: what the merged files mean (site.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan import csv_file
from pipelines.control_plan.errors import PlanError, Problem
from pipelines.control_plan.yaml_file import line_of, parse_yaml

INHERITS = "inherits"
SITE_FILE, FEEDS_FILE, PLAN_FILE = "site.yaml", "feeds.yaml", csv_file.FILE
MAX_DEPTH = 8
_REMOVE = "null"
_NOT_NAMED = object()
# Sensors ask for their site at every tick, and YAML takes time and memory; what is kept follows from the texts alone.
_KEPT_TEXTS, _KEPT_SITES = 32, 8


@dataclass(frozen=True)
class Layer:
    """One folder of a chain with the texts of its files; only the last of a chain must have all three."""

    folder: Path
    texts: Mapping[str, str]

    def name_of(self, file: str, site: Path) -> str:
        """How a problem of the site names a file of this layer."""
        return file if self.folder == site else f"../{self.folder.name}/{file}"


@dataclass(frozen=True)
class Inherited:
    """Files of a site as if they were written out.

    Attributes:
        chain: folders, the site's own first.
        contents: merged content by file name.
    """

    chain: tuple[Path, ...]
    contents: Mapping[str, bytes]
    _layers: Sequence[Layer] = field(repr=False, default=())
    _plan_lines: Mapping[int, tuple[str, int]] = field(repr=False, default_factory=dict)

    def at_home(self, problem: Problem) -> Problem:
        """A problem of the merged files as one of the file that a person must correct."""
        if not self._layers:  # a site that stands by itself
            return problem
        if problem.file == PLAN_FILE:
            file, line = self._plan_lines.get(problem.line, (problem.file, problem.line))
            return Problem(file, line, problem.field, problem.reason, problem.mend)
        path: list[int | str] = [int(part) if part.isdigit() else part for part in problem.field.split(".") if part]
        owner = _owner([layer for layer in self._layers if problem.file in layer.texts], problem.file, path)
        line = line_of(owner.texts[problem.file], path) if problem.line else 0
        return Problem(owner.name_of(problem.file, self.chain[0]), line, problem.field, problem.reason, problem.mend)


def inherits(text: str, folder: Path) -> bool:
    """Whether a site.yaml names a base. Raises PlanError where it is no YAML mapping."""
    return _base_of(text, folder) is not _NOT_NAMED


@lru_cache(_KEPT_TEXTS)
def _base_of(text: str, folder: Path) -> object:
    return parse_yaml(text, folder, SITE_FILE).get(INHERITS, _NOT_NAMED)


def read_inherited(folder: Path) -> Inherited:
    """Read a site's chain of folders and merge it.

    Mappings merge by key, lists and values are replaced, `null` removes what the base has. Rows of the control plan
    replace those of the same characteristic_code; one with `null` as its type removes it. feeds.yaml and
    control_plan.csv may be left out.

    Raises:
        PlanError: a base outside the sites folder, a circle, a mapping over what is none, nothing to remove.
    """
    return _merged(folder, tuple((layer.folder, tuple(layer.texts.items())) for layer in _chain(folder)))


@lru_cache(_KEPT_SITES)
def _merged(site: Path, files: tuple[tuple[Path, tuple[tuple[str, str], ...]], ...]) -> Inherited:
    """The files of a chain, the site's own first, as one."""
    layers = [Layer(folder, dict(texts)) for folder, texts in files]
    merged: dict[str, bytes] = {}
    for file in (SITE_FILE, FEEDS_FILE):
        data: dict[str, Any] = {}
        for layer in reversed([each for each in layers if file in each.texts]):
            own = parse_yaml(layer.texts[file], layer.folder, file)
            own.pop(INHERITS, None)
            problems: list[Problem] = []
            data = _merge(data, own, (), _Place(layer, file, site), problems) if data else own
            if problems:
                raise PlanError(str(site), problems)
        merged[file] = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000).encode()
    _refuse_same_name(layers)
    plan, lines = _merge_plans(layers)
    merged[PLAN_FILE] = plan.encode()
    return Inherited(tuple(layer.folder for layer in layers), merged, layers, lines)


def _chain(folder: Path) -> list[Layer]:
    layers: list[Layer] = []
    here = folder
    while True:
        texts = {
            name: csv_file.decode((here / name).read_bytes(), here, name)
            for name in (SITE_FILE, FEEDS_FILE, PLAN_FILE)
            if (here / name).is_file()
        }
        layer = Layer(here, texts)
        if SITE_FILE not in texts:
            raise PlanError(str(folder), [Problem(layer.name_of(SITE_FILE, folder), 0, "", "is missing")])
        layers.append(layer)
        named = _base_of(texts[SITE_FILE], here)
        if named is None or named is _NOT_NAMED:
            break
        here = _base(layer, named, layers, folder)
    if lost := [name for name in (FEEDS_FILE, PLAN_FILE) if name not in layers[-1].texts]:
        raise PlanError(str(folder), [Problem(layers[-1].name_of(name, folder), 0, "", "is missing") for name in lost])
    return layers


def _base(layer: Layer, named: object, layers: Sequence[Layer], site: Path) -> Path:
    def refuse(reason: str, mend: str) -> PlanError:
        file = layer.name_of(SITE_FILE, site)
        line = line_of(layer.texts[SITE_FILE], [INHERITS])
        return PlanError(str(site), [Problem(file, line, INHERITS, reason, mend)])

    if not isinstance(named, str) or "\x00" in named or Path(named).is_absolute():
        raise refuse(f"expected the folder of a site beside this one, found {named!r}", "write it like ../demo")
    base = (layer.folder / named).resolve()
    if base.parent != site.parent:
        raise refuse(f"{named!r} lies outside {site.parent}", "name a folder beside this one, like ../demo")
    if any(base == each.folder for each in layers):
        raise refuse(f"a circle: {named!r} inherits this site or is it", "let one of them stand by itself")
    if not base.is_dir():
        raise refuse(f"there is no site {named!r}", "name a folder beside this one, like ../demo")
    if len(layers) >= MAX_DEPTH:
        raise refuse(f"more than {MAX_DEPTH} sites in a row", "inherit from one that is nearer to the first")
    return base


@dataclass(frozen=True)
class _Place:
    layer: Layer
    file: str
    site: Path

    def problem(self, path: Sequence[int | str], reason: str, mend: str) -> Problem:
        line = line_of(self.layer.texts[self.file], path)
        return Problem(
            self.layer.name_of(self.file, self.site), line, ".".join(str(part) for part in path), reason, mend
        )


def _merge(
    base: Mapping[str, Any], own: Mapping[str, Any], path: tuple[str, ...], place: _Place, problems: list[Problem]
) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        here = (*path, key)
        if value is None:
            if key not in merged:
                problems.append(place.problem(here, "there is nothing to remove", "take it out, or give it a value"))
            merged.pop(key, None)
        elif key not in base or base[key] is None:
            merged[key] = value
        elif isinstance(base[key], dict) and isinstance(value, dict):
            merged[key] = _merge(base[key], value, here, place, problems)
        elif any(isinstance(each, kind) for kind in (dict, list) for each in (base[key], value)) and type(
            base[key]
        ) is not type(value):
            kinds = f"expected a {_kind(base[key])} as the inherited site has, found a {_kind(value)}"
            problems.append(place.problem(here, kinds, "correct it, or remove it with null in a site between"))
        else:
            merged[key] = value
    return merged


def _kind(value: object) -> str:
    kinds: dict[type, str] = {dict: "mapping", list: "list"}
    return kinds.get(type(value), "single value")


def _refuse_same_name(layers: Sequence[Layer]) -> None:
    """A site that inherits must have a name of its own: data of two sites could not be told apart."""
    own, *bases = [parse_yaml(layer.texts[SITE_FILE], layer.folder, SITE_FILE).get("name") for layer in layers]
    if bases and (own is None or own in bases):
        reason = "is missing" if own is None else f"{own!r} is the name of the site that is inherited"
        line = line_of(layers[0].texts[SITE_FILE], ["name"])
        raise PlanError(
            str(layers[0].folder), [Problem(SITE_FILE, line, "name", reason, "give the site a name of its own")]
        )


def _merge_plans(layers: Sequence[Layer]) -> tuple[str, dict[int, tuple[str, int]]]:
    """The rows of all layers as one CSV text, and for each of its lines file and line it came from."""
    site = layers[0].folder
    rows: dict[object, tuple[list[str], str, int]] = {}
    header_from = layers[-1]
    for layer in reversed([each for each in layers if PLAN_FILE in each.texts]):
        name = layer.name_of(PLAN_FILE, site)
        given = _rows(layer, name, site)
        seen: set[str] = set()
        problems: list[Problem] = []
        for line, cells in given:
            code, is_removal = _code(cells), len(cells) == len(csv_file.COLUMNS) and cells[3].strip() == _REMOVE
            if is_removal and rows.pop(code, None) is None:
                problems.append(Problem(name, line, "type", f"no {code!r} to remove", "take the row out"))
            elif not is_removal:
                # Twice in one file is a mistake that the checks of the plan tell: both rows stay.
                rows[(code, line) if code in seen else code] = (cells, name, line)
            seen.add(code)
        if problems:
            raise PlanError(str(site), problems)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(csv_file.COLUMNS)
    lines = {1: (header_from.name_of(PLAN_FILE, site), 1)}
    count = 1
    for cells, name, line in rows.values():
        writer.writerow(cells)
        count += 1 + sum(cell.count("\n") for cell in cells)
        lines[count] = (name, line)
    return out.getvalue(), lines


def _rows(layer: Layer, name: str, site: Path) -> list[tuple[int, list[str]]]:
    """Cells of each row in the order of `COLUMNS`, with their line; a row of another length as it is."""
    lines = csv.reader(io.StringIO(layer.texts[PLAN_FILE], newline=""), strict=True)
    try:
        header = next(lines)
        if bad := list(csv_file.header_problems(header)):
            raise PlanError(str(site), [Problem(name, each.line, each.field, each.reason, each.mend) for each in bad])
        order = [header.index(column) for column in csv_file.COLUMNS]
        return [
            (lines.line_num, [cells[place] for place in order] if len(cells) == len(header) else cells)
            for cells in lines
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        problem = Problem(name, lines.line_num, "", f"not valid CSV: {error}", "check the quotes")
        raise PlanError(str(site), [problem]) from error


def _code(cells: Sequence[str]) -> str:
    variant, name = (cells[1].strip(), cells[2].strip()) if len(cells) > 2 else ("", "")
    return f"{variant}_{name}" if variant else name


def _owner(layers: Sequence[Layer], file: str, path: Sequence[int | str]) -> Layer:
    """The layer whose text decides what stands at a path: the nearest that has it, or a value above it."""
    nearest = layers[-1]
    depth = -1
    for layer in layers:
        node: Any = parse_yaml(layer.texts[file], layer.folder, file)
        for place, part in enumerate(path):
            if not isinstance(node, dict):
                return layer
            if part not in node:
                if place > depth:
                    nearest, depth = layer, place
                break
            node = node[part]
        else:
            return layer
    return nearest
