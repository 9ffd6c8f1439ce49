"""Fields of the files that people write, from the pydantic models that read them."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from griffe import Docstring, DocstringSectionKind
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from models.families import FAMILIES
from pipelines.control_plan.feeds import Feed
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site

_READ_FROM_ELSEWHERE: dict[type[BaseModel], set[str]] = {
    **{family.spec: {"stage", "slug"} for family in FAMILIES},
    Site: {"folder", "plan", "feeds", "hash"},
    Characteristic: {"line_no"},
    Feed: {"name"},
}
_TOP = "Top level"
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "pattern": "like"}


def solution() -> str:
    """Attributes of a `defs.yaml`."""
    return _page(
        "defs.yaml",
        "What stands under `attributes:` of a file, by its family, which the file names as its type: "
        "`type: orchestration.components.PredictiveModel`. Stage and slug are the names of its two folders. An unknown "
        "key is an error that names the line.",
        {family.spec: family.component for family in FAMILIES},
    )


def site() -> str:
    """Fields of `site.yaml`."""
    return _page("site.yaml", "One file per site; `infra/sites/demo/site.yaml` is a complete one.", {Site: _TOP})


def control_plan() -> str:
    """Columns of `control_plan.csv`."""
    return _page(
        "control_plan.csv",
        "One row per step and characteristic. The header carries these names; `class` is the column of "
        "`special_class`. `positions` is written `zone:12*side:2`, `effects` `target:+ target:-`.",
        {Characteristic: _TOP},
    )


def feeds() -> str:
    """Fields of `feeds.yaml`."""
    return _page(
        "feeds.yaml",
        "What the line and the laboratory deliver, below `feeds:` by name. `event_at` and `known_at` (UTC) are part "
        "of every feed and are not listed.",
        {Feed: _TOP},
    )


def meaning(model: type[BaseModel], name: str) -> str:
    """What a field means: its own description, else the line of the model's docstring; empty when nobody said it."""
    own = model.model_fields[name].description
    if own:
        return own
    for section in Docstring(model.__doc__ or "").parse("google", warnings=False):
        if section.kind is DocstringSectionKind.attributes:
            for each in section.value:
                if each.name == name:
                    return " ".join(each.description.split())
    return ""


def documented_models(roots: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """Return the models and those that their fields hold, each once, in the order of reading."""
    found: dict[type[BaseModel], None] = {}

    def visit(model: type[BaseModel]) -> None:
        found.setdefault(model)
        for _, field in fields(model):
            for part in _parts(field.annotation):
                if part not in found:
                    visit(part)

    for root in roots:
        visit(root)
    return list(found)


def _page(title: str, introduction: str, roots: dict[type[BaseModel], str]) -> str:
    tables = [_table(model, roots.get(model, model.__name__)) for model in documented_models(roots)]
    return "\n\n".join([f"# {title}", introduction, *tables]) + "\n"


def _table(model: type[BaseModel], heading: str) -> str:
    first_line = (model.__doc__ or "").strip().splitlines()[0]
    head = [f"## {heading}", "", first_line, ""]
    rows = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields(model):
        shown = field.alias or name
        cells = (f"`{shown}`", _type(field.annotation, field.metadata), _default(field), meaning(model, name))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(head + rows)


def fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a model that a person writes."""
    elsewhere = _READ_FROM_ELSEWHERE.get(model, set())
    return ((name, field) for name, field in model.model_fields.items() if name not in elsewhere)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its own defaults"
    return "" if value in (None, "") else f"`{json.dumps(value)}`"


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*arguments[1:], *metadata])
    bounds = ", ".join(_bounds(metadata))
    return f"{_base_type(annotation, origin, arguments)}{f', {bounds}' if bounds else ''}"


def _base_type(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is Literal:
        return ", ".join(f"`{value}`" if value != "" else "empty" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}" if origin is list or arguments[-1] is ... else _tuple(arguments)
    if origin is dict:
        return f"{_type(arguments[1])} by {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "Any": "anything"}.get(
        getattr(annotation, "__name__", str(annotation)), getattr(annotation, "__name__", str(annotation))
    )


def _tuple(arguments: tuple[Any, ...]) -> str:
    return " and ".join(_type(each) for each in arguments)


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _bounds(each.metadata)
            continue
        for name, sign in _BOUNDS.items():
            value = getattr(each, name, None)
            if value is not None:
                yield f"{sign} `{value}`"
