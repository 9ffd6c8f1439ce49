"""Assistants: the newest report, each sentence beside the rows that it rests on."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Any

from models.assistant.spec import AssistantSpec
from models.context import ModelContext
from orchestration.evaluation.pictures.canvas import BLUE, sheet, words
from orchestration.evaluation.pictures.tables import further
from pipelines.lake.sql import quote_identifier

_SENTENCES, _WIDE, _ROWS_WIDE = 9, 72, 62


def draw(spec: AssistantSpec, ctx: ModelContext) -> Any | None:
    """Sentences of the newest report with their citations; None of one that writes none."""
    keys = ", ".join(quote_identifier(key) for key in spec.keys)
    period = ", ".join(quote_identifier(key) for key in spec.keys[:-1])
    rows = further(
        spec,
        ctx,
        "sentence",
        f"SEMI JOIN (SELECT {period} FROM lake.solutions.{quote_identifier(spec.slug)} "
        f"ORDER BY event_at DESC, {period} LIMIT 1) USING ({period}) ORDER BY {keys} LIMIT {_SENTENCES}",
    )
    if rows is None:
        return None
    listed = rows.to_pylist()
    lines = [(wrap(row["sentence"], _WIDE), wrap(_cited(row["citations"]), _ROWS_WIDE)) for row in listed]
    total = sum(max(len(said), len(cited)) + 1 for said, cited in lines)
    named = ", ".join(words(str(listed[0][key])) for key in spec.keys[:-1])
    figure, axes = sheet(f"{spec.solution}: {named}", height=1.0 + 0.19 * (total + 2))
    axis = axes[0, 0]
    axis.set_axis_off()
    axis.set_xlim(0, 1)
    axis.set_ylim(total + 1, -1)
    for across, head in ((0.0, "said"), (0.55, "rows cited")):
        axis.text(across, -0.4, head, fontsize=8, weight="bold", color=BLUE)
    down = 1
    for said, cited in lines:
        axis.axhline(down - 0.9, color="0.85", linewidth=0.8)
        for across, text, colour in ((0.0, said, "0.1"), (0.55, cited, "0.4")):
            axis.text(across, down, "\n".join(text), fontsize=7.5, va="top", color=colour, linespacing=1.35)
        down += max(len(said), len(cited)) + 1
    return figure


def _cited(citations: str) -> str:
    """Tables with what names their rows."""
    return "; ".join(
        f"{each['table']}: {', '.join(f'{name}={value}' for name, value in each['where'].items())}"
        for each in json.loads(citations)
    )
