"""Traceability: the graph of one part of the newest passport, from the lots that were bought up to the whole."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import pyarrow as pa

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.traceability.spec import TraceSpec
from models.traceability.walk import START, told, walk
from orchestration.evaluation.pictures.canvas import BLUE, GREY, RED, sheet, words
from orchestration.evaluation.pictures.tables import further
from pipelines.lake.sql import quote_identifier

Node = tuple[str, str]


def draw(spec: TraceSpec, ctx: ModelContext) -> Any | None:
    """The graph of the part; None before a passport was made."""
    key = quote_identifier(spec.keys[0])
    newest = further(spec, ctx, then=f"SELECT CAST({key} AS VARCHAR) AS id ORDER BY event_at DESC, {key} LIMIT 1")
    if newest is None:
        return None
    whole = newest["id"][0].as_py()
    with open_tables(ctx, spec.table) as tables:
        part = spec.passport.complete_for
        parts = {end for link in _links(tables, spec, (spec.passport.of, whole), "made_of") for end in link}
        start = min(node for node in parts if node[0] == part)
        links = _links(tables, spec, start, "went_into")
        links |= _links(tables, spec, start, "made_of")
        material = {
            node: str(more[spec.passport.material])
            for node, more in told(tables, spec).items()
            if spec.passport.material in more
        }
    figure, axes = sheet(f"{spec.solution}: what {words(part)} {start[1]} is made of, and where it went", height=5.6)
    there = {end[0] for link in links for end in link}
    _graph(axes[0, 0], [kind for kind in spec.kinds if kind in there], links, material)
    return figure


def _links(
    tables: Tables, spec: TraceSpec, start: Node, direction: Literal["made_of", "went_into"]
) -> set[tuple[Node, Node]]:
    """Each whole with a part of it, one way from the start."""
    begin = {"kind": start[0], "id": start[1], "from_m": None, "to_m": None}
    walk(tables, spec, pa.Table.from_pylist([begin], schema=START), direction)
    rows = tables.con.execute("SELECT DISTINCT kind, id, part_kind, part_id FROM cw_link").fetchall()
    return {((kind, name), (part_kind, part)) for kind, name, part_kind, part in rows}


def _graph(axis: Any, kinds: list[str], links: set[tuple[Node, Node]], material: dict[Node, str]) -> None:
    """A column for each kind, what was bought at the left; each name as near as can be to what it went into."""
    nodes = sorted({end for link in links for end in link}, key=lambda node: (material.get(node, ""), node[1]))
    wholes: dict[Node, list[Node]] = defaultdict(list)
    for whole, part in links:
        wholes[part].append(whole)
    height: dict[Node, float] = {}
    for kind in reversed(kinds):
        own = [node for node in nodes if node[0] == kind]
        own.sort(key=lambda node: _middle([height[whole] for whole in wholes[node] if whole in height]))
        for place, node in enumerate(own):
            height[node] = 1 - (place + 0.5) / len(own)
    column = {kind: place for place, kind in enumerate(kinds)}
    for whole, part in sorted(links):
        ends = (part, whole)
        across = [column[node[0]] for node in ends]
        axis.plot(across, [height[node] for node in ends], color=GREY, linewidth=0.7, alpha=0.6, zorder=1)
    for node in nodes:
        name = f"{words(material[node])}\n{node[1]}" if material.get(node, node[1]) not in node[1] else node[1]
        colour = {0: BLUE, len(kinds) - 1: RED}.get(column[node[0]], "0.25")
        axis.text(
            column[node[0]], height[node], name, ha="center", va="center", fontsize=6, color="white",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8},
        )  # fmt: skip
    axis.set_xticks(range(len(kinds)), [words(kind) for kind in kinds])
    axis.xaxis.tick_top()
    axis.set_xlim(-0.5, len(kinds) - 0.5)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.spines[["left", "bottom"]].set_visible(False)


def _middle(heights: list[float]) -> float:
    """Where what it went into lies, from the top; what went into nothing keeps its order."""
    return -sum(heights) / len(heights) if heights else 0.0
