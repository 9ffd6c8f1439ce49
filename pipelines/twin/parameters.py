"""Parameters of the twin: numbers of twin.yaml, each with the tag of its source; of others, the check of the tag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.yaml_file import parse_yaml

FILE = "twin.yaml"
_TAG = re.compile(r"^(S\d+|L|E|C)( (S\d+|L|E|C))*$")
_SHAPE = "{value: 12.5, source: E}, the source being S and a number, L, E or C"


@dataclass(frozen=True)
class Parameters:
    """Numbers by dotted name, such as `stacking.scrap_ratio`.

    Attributes:
        values: name -> number.
        sources: name -> source tag.
        file: where they come from, for messages.
    """

    values: Mapping[str, float]
    sources: Mapping[str, str]
    file: Path

    def __call__(self, name: str) -> float:
        """The number of a name.

        Raises:
            CellworksError: twin.yaml doesn't have it.
        """
        try:
            return self.values[name]
        except KeyError:
            raise CellworksError(
                f"the twin has no parameter {name}", where=str(self.file), expected=_SHAPE, mend="add it"
            ) from None

    def under(self, prefix: str) -> dict[str, float]:
        """Numbers below a name, by what follows it."""
        return {name[len(prefix) + 1 :]: value for name, value in self.values.items() if name.startswith(f"{prefix}.")}


def parameters_of(data: Mapping[str, Any], file: Path) -> Parameters:
    """The part `parameters` of twin.yaml.

    Raises:
        CellworksError: an entry that is no number with a source tag.
    """
    values: dict[str, float] = {}
    sources: dict[str, str] = {}
    _collect(data.get("parameters", {}), "", file, values, sources)
    return Parameters(values, sources, file)


def without_source(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An entry of several numbers that share a source, such as a scenario, without the tag.

    Raises:
        CellworksError: it has no source tag.
    """
    tag = entry.get("source")
    if not is_tag(tag):
        raise CellworksError(
            "numbers of the twin have no source",
            where=where,
            expected="source: S and a number, L, E or C",
            found="no source" if tag is None else f"source: {tag}",
            mend="say where the numbers come from; E for an estimate",
        )
    return {name: value for name, value in entry.items() if name != "source"}


def is_tag(tag: object) -> bool:
    """Whether it names one source or several: S and a number (public), L (literature), E (estimate), C (computed)."""
    return _TAG.match(str(tag)) is not None


def read_mapping(file: Path) -> dict[str, Any]:
    """A YAML file whose root is a mapping.

    Raises:
        CellworksError: missing, no YAML (with the line), or no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CellworksError("a file of the twin cannot be read", where=str(file), found=str(error)) from error
    return parse_yaml(text, file.parent, file.name)


def _collect(node: Any, path: str, file: Path, values: dict[str, float], sources: dict[str, str]) -> None:
    if isinstance(node, dict) and set(node) == {"value", "source"}:
        number, tag = node["value"], node["source"]
        if isinstance(number, bool) or not isinstance(number, int | float) or not is_tag(tag):
            raise CellworksError(
                "a parameter of the twin is wrong", where=f"{file}: {path}", expected=_SHAPE, found=str(node)
            )
        values[path], sources[path] = float(number), str(tag)
    elif isinstance(node, dict):
        for key, child in node.items():
            _collect(child, f"{path}.{key}" if path else str(key), file, values, sources)
    else:
        raise CellworksError(
            "a parameter of the twin is wrong", where=f"{file}: {path}", expected=_SHAPE, found=str(node)
        )
