"""The door for a topic's query: one SELECT over named tables, its columns named, its parameters known."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMAS = ("marts", "staging", "ops", "solutions")
"""What a topic may read: curated tables, the platform's own books, what solutions told."""


@dataclass(frozen=True)
class Select:
    """What a query is made of.

    Attributes:
        columns: it selects, in their order.
        tables: it reads, each as `schema.table`.
        parameters: it names, without the `$`.
    """

    columns: tuple[str, ...]
    tables: frozenset[str]
    parameters: frozenset[str]


@lru_cache(maxsize=512)
def parse(sql: str) -> Select:
    """Take a query apart without running it, and without a lake.

    Raises:
        ValueError: it is not a single SELECT, a column has no name, or it reads what a topic may not.
    """
    row = _parser(os.getpid()).execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True, "error_message": "empty"}
    if tree["error"]:
        msg = f"a topic reads by one SELECT; found: {tree['error_message']}"
        raise ValueError(msg)
    if len(tree["statements"]) != 1:
        msg = f"a topic reads by one SELECT; found {len(tree['statements'])} statements"
        raise ValueError(msg)
    parts = list(_parts(tree))
    return Select(_columns(tree["statements"][0]["node"]), _tables(parts), _parameters(parts))


@cache
def _parser(process: int) -> DuckDBPyConnection:  # noqa: ARG001 - a forked process opens its own
    import duckdb

    return duckdb.connect(config={"threads": 1})


def table_fault(table: str) -> str:
    """Why a topic may not read a table, by its name alone; empty where it may."""
    schema, _, name = table.partition(".")
    if schema in SCHEMAS and name and "." not in name:
        return ""
    return f"a topic reads tables of {', '.join(SCHEMAS)}, named schema.table; found '{table}'"


def _read_name(table: str) -> str:
    if fault := table_fault(table):
        raise ValueError(fault)
    return table


TableName = Annotated[str, AfterValidator(_read_name)]
"""The name of a table that may be read; another is refused at the door."""


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of the tree."""
    if isinstance(tree, dict):
        yield tree
        for each in tree.values():
            yield from _parts(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _parts(each)


def _columns(node: dict[str, Any]) -> tuple[str, ...]:
    while node["type"] == "SET_OPERATION_NODE":
        node = node["left"]
    names = []
    for each in node.get("select_list", []):
        name = each["alias"] or (each["column_names"][-1] if each["type"] == "COLUMN_REF" else "")
        if not name:
            msg = "every column that a topic selects has a name: write `<expression> AS <name>`, and no *"
            raise ValueError(msg)
        names.append(str(name))
    if not names or len(set(names)) < len(names):
        msg = f"a topic selects columns of different names; found {', '.join(names) or 'none'}"
        raise ValueError(msg)
    return tuple(names)


def _tables(parts: list[dict[str, Any]]) -> frozenset[str]:
    inner = {each["key"] for part in parts for each in (part.get("cte_map") or {}).get("map", [])}
    found = set()
    for part in parts:
        if part.get("type") in ("TABLE_FUNCTION", "SHOW_REF"):
            msg = "a topic reads tables, no functions that stand for one (files, settings)"
            raise ValueError(msg)
        if part.get("type") != "BASE_TABLE" or (not part["schema_name"] and part["table_name"] in inner):
            continue
        name = ".".join(filter(None, (part["catalog_name"], part["schema_name"], part["table_name"])))
        if fault := table_fault(name):
            raise ValueError(fault)
        if part["at_clause"]:
            msg = f"which snapshot is read is not the topic's to say; found AT behind {name}"
            raise ValueError(msg)
        found.add(name)
    if not found:
        msg = "a topic reads at least one table: what no row says is not said"
        raise ValueError(msg)
    return frozenset(found)


def _parameters(parts: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(str(part["identifier"]) for part in parts if part.get("type") == "VALUE_PARAMETER")
