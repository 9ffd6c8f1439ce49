"""Write docs/images/graph.svg: asset groups and what depends on what, from the definitions that Dagster is served.

Run `make docs-graph` after a group was added; a test notices when a group is missing in the picture.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docs" / "images" / "graph.svg"
LAYERS = ("raw", "staging", "marts")
COLUMN_W, ROW_H, BOX_W, BOX_H, TOP, LEFT = 250, 78, 190, 50, 66, 20
COLOURS = {"raw": "#cfd8dc", "staging": "#b2dfdb", "marts": "#80cbc4", "solutions": "#ffe0b2"}
HEADS = {
    "raw": "raw: as delivered",
    "staging": "staging: typed, newest",
    "marts": "marts: joined, published",
    "solutions": "solutions: model, answers, watch",
}


def groups_and_edges() -> tuple[Counter[str], Counter[str], set[tuple[str, str]]]:
    """Assets and checks by group, and the pairs of groups of which the second reads the first."""
    os.environ["CELLWORKS_SITE"] = str(PROJECT / "infra" / "sites" / "demo")
    os.environ["CELLWORKS_HOME"] = tempfile.mkdtemp(prefix="cellworks-graph-")
    os.environ.pop("CELLWORKS_DEFS", None)
    from orchestration.assembly import build_definitions

    graph = build_definitions().resolve_asset_graph()
    group = {key: str(graph.get(key).group_name) for key in graph.get_all_asset_keys()}
    checks = Counter(group[key.asset_key] for key in graph.asset_check_keys)
    edges = {(group[parent], group[key]) for key in group for parent in graph.get(key).parent_keys if parent in group}
    return Counter(group.values()), checks, {(one, other) for one, other in edges if one != other}


def draw(assets: Counter[str], checks: Counter[str], edges: set[tuple[str, str]]) -> str:
    """The picture as SVG text."""
    place = _places(sorted(assets))
    width = LEFT + 3 * COLUMN_W + BOX_W + LEFT
    height = TOP + ROW_H * (1 + max(row for _, row in place.values())) + 10
    body = [_head(number, name) for number, name in enumerate(COLOURS)]
    body += [_edge(place[one], place[other]) for one, other in sorted(edges)]
    body += [_box(name, place[name], assets[name], checks[name]) for name in sorted(assets)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _layer(group: str) -> str:
    first = group.split("_", 1)[0]
    return first if first in LAYERS else "solutions"


def _places(groups: list[str]) -> dict[str, tuple[int, int]]:
    """Column and row of each group: layers from left to right, domains from top to bottom."""
    from orchestration.domains import DOMAINS, KPI

    rows = {domain: row for row, domain in enumerate((*DOMAINS, KPI))}
    place = {}
    stages = [group for group in groups if _layer(group) == "solutions"]
    for group in groups:
        layer = _layer(group)
        row = stages.index(group) + 1 if layer == "solutions" else rows[group.split("_", 1)[1]]
        place[group] = (list(COLOURS).index(layer), row)
    return place


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    column, row = place
    return LEFT + column * COLUMN_W, TOP + row * ROW_H


def _head(column: int, name: str) -> str:
    x = LEFT + column * COLUMN_W + BOX_W // 2
    return f'<text x="{x}" y="34" text-anchor="middle" font-size="13" fill="#455a64">{escape(HEADS[name])}</text>'


def _edge(one: tuple[int, int], other: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = _corner(one), _corner(other)
    if one[0] == other[0]:  # within a layer: down its right side
        start, end, out = (x + BOX_W, y + BOX_H - 12), (to_x + BOX_W, to_y + 12), 26
        path = f"M{start[0]},{start[1]} C{start[0] + out},{start[1]} {end[0] + out},{end[1]} {end[0]},{end[1]}"
    else:
        start, end = (x + BOX_W, y + BOX_H // 2), (to_x, to_y + BOX_H // 2)
        middle = (start[0] + end[0]) // 2
        path = f"M{start[0]},{start[1]} C{middle},{start[1]} {middle},{end[1]} {end[0]},{end[1]}"
    weight = 2 if one[1] == other[1] else 1
    return f'<path d="{path}" fill="none" stroke="#78909c" stroke-width="{weight}"/>'


def _box(name: str, place: tuple[int, int], assets: int, checks: int) -> str:
    x, y = _corner(place)
    counts = f"{assets} assets, {checks} checks"
    return (
        f'<rect x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="8" fill="{COLOURS[_layer(name)]}"/>'
        f'<text x="{x + 10}" y="{y + 21}" font-size="13" fill="#263238">{escape(name)}</text>'
        f'<text x="{x + 10}" y="{y + 39}" font-size="11" fill="#455a64">{counts}</text>'
    )


if __name__ == "__main__":
    FILE.write_text(draw(*groups_and_edges()), encoding="utf-8")
