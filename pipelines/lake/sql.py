"""Quoting: every identifier and literal that is not a bound parameter passes through here."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.control_plan.errors import CellworksError


def quote_identifier(name: str) -> str:
    """Quote one SQL identifier.

    Args:
        name: a table, column or schema name as it is, without quotes.

    Returns:
        The name between double quotes, inner quotes doubled.

    Raises:
        CellworksError: the name is empty or holds a NUL character.
    """
    if not name or "\x00" in name:
        raise CellworksError("not a usable SQL name", expected="a name without NUL", found=repr(name))
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: object) -> str:
    """Quote one value as a SQL string literal (its `str`); None becomes NULL.

    Raises:
        CellworksError: the text holds a NUL character.
    """
    if value is None:
        return "NULL"
    text = str(value)
    if "\x00" in text:
        raise CellworksError("not a usable SQL literal", expected="text without NUL", found=repr(text))
    return "'" + text.replace("'", "''") + "'"


def quote_relation(relation: str) -> str:
    """Quote `table`, `schema.table` or `catalogue.schema.table`, part by part."""
    return ".".join(quote_identifier(part) for part in relation.split("."))


def columns_sql(names: Iterable[str], alias: str = "") -> str:
    """A comma separated list of quoted columns, each behind `alias.` if one is given."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + quote_identifier(name) for name in names)
