"""Reading YAML with the line of every key at hand, so that a wrong value can be pointed at."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.control_plan.errors import PlanError, Problem

# libyaml's loader is the same safe loader, ten times as fast; the wheel may lack it on some platforms.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 50
_MOST_NODES = 200_000
_SHOWN = 200


class _StrictLoader(_SafeLoader):  # type: ignore[misc]
    """A safe loader that refuses a key given twice (YAML itself keeps the last one) and says where a date is none."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, KeyError, IndexError, AttributeError, TypeError) as error:
            # a date such as 2026-13-01; a tag on what is not of its kind
            problem = f"{str(error)[:_SHOWN]}, found {str(node.value)[:_SHOWN]!r}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key is a list or a mapping", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(text: str) -> Any:
    """Parse YAML of unknown origin: no code, no key twice, of bounded depth and size.

    Raises:
        yaml.YAMLError: it is none.
    """
    _refuse_bombs(text)
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a subclass of the safe loader)


def compose(text: str) -> Any:
    """The nodes of what `read_yaml` reads, each with its place; the same reader, so both take the same texts."""
    return yaml.compose(text, Loader=_SafeLoader)


def _refuse_bombs(text: str) -> None:
    """Refuse what nests so deep that the C loader's stack ends, and few lines that aliases make millions of nodes."""
    sizes: list[int] = [0]
    anchors: dict[str, int] = {}
    opened: list[str | None] = []
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(event.anchor)
            sizes.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), opened.pop()
            sizes[-1] += size
            if anchor is not None:
                anchors[anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            sizes[-1] += anchors.get(event.anchor or "", 1)
        else:
            sizes[-1] += 1
        if len(opened) > _DEEPEST or sizes[-1] > _MOST_NODES:
            problem = f"more than {_DEEPEST} levels, or {_MOST_NODES} nodes with its aliases"
            raise yaml.YAMLError(f"{problem}, in line {event.start_mark.line + 1 if event.start_mark else 0}")


def parse_yaml(text: str, folder: Path, file: str) -> dict[str, Any]:
    """Parse a YAML document whose root must be a mapping.

    Raises:
        PlanError: not YAML, a key given twice, or a root that isn't a mapping; with the line.
    """
    try:
        data = read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 0
        raise PlanError(str(folder), [Problem(file, line, "", f"not valid YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise PlanError(str(folder), [Problem(file, 0, "", f"not valid YAML: {error}")]) from error
    if not isinstance(data, dict):
        kind = "nothing" if data is None else type(data).__name__
        reason = f"expected a mapping of keys to values, found {kind}"
        raise PlanError(str(folder), [Problem(file, 1, "", reason, "see infra/sites/demo for a complete one")])
    return data


def line_of(text: str, path: Sequence[int | str]) -> int:
    """Line of the deepest part of a key path that exists in a YAML text (1 for the first line)."""
    node = compose(text)
    line = 1
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return line


def _child(node: Any, part: int | str) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def problems_of(error: ValidationError, text: str, file: str, prefix: Sequence[int | str] = ()) -> list[Problem]:
    """Translate pydantic's errors into file, line, field and reason."""
    return [_problem(detail, text, file, prefix) for detail in error.errors(include_url=False)]


def _problem(detail: Any, text: str, file: str, prefix: Sequence[int | str]) -> Problem:
    path = [*prefix, *detail["loc"]]
    field = ".".join(str(part) for part in path)
    return Problem(file, line_of(text, path), field, *reason_and_mend(detail))


def reason_and_mend(detail: Any) -> tuple[str, str]:
    """Reason and remedy, in plain words, of one pydantic error detail."""
    kind, found, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "missing":
        return "is missing", "add it"
    if kind == "extra_forbidden":
        return "is not a known name", "remove it or correct its spelling"
    if kind == "literal_error":
        return f"expected {context['expected']}, found {found!r}", "use one of these"
    if kind in {"float_parsing", "int_parsing", "float_type", "int_type", "finite_number"}:
        return f"expected a finite number, found {found!r}", "write it like 12.5, with a point and no unit"
    if kind == "value_error":
        return str(context["error"]), ""
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {found!r}", ""
