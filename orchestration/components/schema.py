"""The JSON schema of a family's attributes, so that `dg check yaml` says what is wrong of the part that is wrong."""

from __future__ import annotations

from typing import Any

from models.solution import Part

_NOTHING = {"type": "null"}


class Attributes(Part):
    """Base of what the YAML of a component holds."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As pydantic writes it, but each choice between schemas says which one holds.

        Of a value that fits none of several schemas a validator only tells that it fits none. A part whose `kind` names
        its schema is held against that one, and what may be left out against what it is when it is there.
        """
        plain: dict[str, Any] = _decided(super().model_json_schema(*args, **kwargs))
        return plain


def _decided(node: Any) -> Any:
    """The same schema with its choices decided, from the leaves up."""
    if isinstance(node, list):
        return [_decided(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {name: _decided(each) for name, each in node.items()}
    if "oneOf" in inner and "discriminator" in inner:
        return _by_name(inner, inner.pop("discriminator"))
    if _NOTHING in (choices := inner.get("anyOf", [])) and len(choices) == 2:
        return _or_nothing(inner, next(each for each in choices if each != _NOTHING))
    return inner


def _by_name(node: dict[str, Any], discriminator: dict[str, Any]) -> dict[str, Any]:
    """A choice by the value of a property: that value, and for each the schema that then holds."""
    name, schemas = discriminator["propertyName"], discriminator["mapping"]
    return {key: each for key, each in node.items() if key != "oneOf"} | {
        "type": "object",
        "required": [name],
        "properties": {name: {"enum": list(schemas)}},
        "allOf": [
            {"if": {"properties": {name: {"const": value}}, "required": [name]}, "then": {"$ref": schema}}
            for value, schema in schemas.items()
        ],
    }


def _or_nothing(node: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A schema, or null."""
    rest = {key: each for key, each in node.items() if key != "anyOf"}
    if isinstance(given.get("type"), str) and "enum" not in given and "const" not in given:
        return given | rest | {"type": [given["type"], "null"]}
    return rest | {"if": {"not": _NOTHING}, "then": given}
