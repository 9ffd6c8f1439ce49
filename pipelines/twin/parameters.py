"""Parameters of the twin: numbers of twin.yaml, each with the tag of its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan.errors import CellworksError

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

    def with_values(self, values: Mapping[str, float]) -> Parameters:
        """A copy with other numbers.

        Raises:
            CellworksError: a name that there isn't.
        """
        if unknown := sorted(values.keys() - self.values.keys()):
            raise CellworksError(
                "parameters that the twin does not know", found=", ".join(unknown), where=str(self.file),
                mend="correct the name; twin.yaml lists all of them",
            )  # fmt: skip
        return Parameters({**self.values, **values}, self.sources, self.file)


def load_parameters(folder: Path) -> Parameters:
    """Read twin.yaml of a site.

    Raises:
        CellworksError: no such file, no YAML, or an entry that is no number with a source tag.
    """
    file = folder / FILE
    data = read_mapping(file)
    values: dict[str, float] = {}
    sources: dict[str, str] = {}
    _collect(data.get("parameters", {}), "", file, values, sources)
    return Parameters(values, sources, file)


def read_mapping(file: Path) -> dict[str, Any]:
    """A YAML file whose root is a mapping.

    Raises:
        CellworksError: missing, no YAML, or no mapping.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CellworksError("a file of the twin cannot be read", where=str(file), found=str(error)) from error
    if not isinstance(data, dict):
        raise CellworksError("a file of the twin is no mapping", where=str(file), found=type(data).__name__)
    return data


def _collect(node: Any, path: str, file: Path, values: dict[str, float], sources: dict[str, str]) -> None:
    if isinstance(node, dict) and set(node) == {"value", "source"}:
        number, tag = node["value"], node["source"]
        if isinstance(number, bool) or not isinstance(number, int | float) or not _TAG.match(str(tag)):
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
