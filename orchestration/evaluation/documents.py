"""Does an assistant read what documents say? Every line that it names is read again, beside the supplier's records."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from models.assistant.documents_spec import Documents
from models.assistant.spec import AssistantSpec
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.rows import newest_answers
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_relation

TOLERANCE = 1e-6
"""Relative: what a certificate's six decimals leave."""
RECORDS, RECORDED = "staging.stg_lims__certificate", "certified_value"
"""The same values as records, which the reader does not see, in the plan's unit but for slips that both have."""
_TOKEN = re.compile(r"[+-]?[0-9A-Za-z.,]+")
_SPOILT = re.compile(r"[+-]?[0-9]*[.,]?[0-9]*[A-Za-z?][0-9]*[.,]?[0-9]*")


def evaluate(spec: AssistantSpec, documents: Documents, home: Home, version: str) -> Evaluation:
    """Hold every answer of the newest night against its document and, where the supplier sent one, its record."""
    answers = newest_answers(spec, home, version).to_pylist()
    if not answers:
        return Evaluation("not_run", "it has read nothing yet")
    snapshot = int(max(each["lake_snapshot"] for each in answers))
    key, name = spec.keys
    of_text = f"{quote_identifier(key)}, {quote_identifier(documents.text)} FROM lake.{quote_relation(spec.table)}"
    of_record = f"{quote_identifier(key)}, {quote_identifier(name)}, {RECORDED} FROM lake.{quote_relation(RECORDS)}"
    with reader(home, snapshot=snapshot) as con:
        texts = dict(con.execute(f"SELECT {of_text}").fetchall())
        records = {tuple(each[:2]): each[2] for each in con.execute(f"SELECT {of_record}").fetchall()}
    return judged([{**each, "document": each[key], "name": each[name]} for each in answers], texts, records, documents)


def judged(
    answers: Iterable[Mapping[str, Any]],
    texts: Mapping[str, str],
    records: Mapping[tuple[str, str], float],
    documents: Documents,
) -> Evaluation:
    """Hold answers against documents and records.

    Args:
        answers: `document`, `name`, `value`, `class` and `reasons` of each.
        texts: the documents by name.
        records: what each document says of a characteristic; none where it says nothing.
        documents: how they are read.
    """
    factors = {1.0, *(each.factor for layout in documents.layouts for each in layout.units.values())}
    read, unlike, misread, guessed, passed_over, refused = 0, [], [], [], [], 0
    for each in answers:
        said = f"{each['document']} {each['name']}"
        line = _cited(each, texts.get(each["document"], ""))
        recorded = records.get((each["document"], each["name"]))
        if each["class"] != "read":
            refused += 1
            if recorded is not None and not _is_spoilt(line, each["name"]):
                passed_over.append(said)
            continue
        read += 1
        if line is None or not any(
            _near(each["value"], number * factor) for number in _numbers(line) for factor in factors
        ):
            unlike.append(said)
        if recorded is None:
            guessed.append(said)
        elif not _near(each["value"], recorded):
            misread.append(f"{said}: {each['value']:g} of {recorded:g}")
    lines = [
        Line("in the line that is cited", f"{read:,} values, {_told(unlike)} are not", read > 0 and not unlike),
        Line("the supplier's own record", f"{_told(misread)} differ from it", not misread),
        Line("nothing guessed", f"{_told(guessed)} of which the certificate says nothing", not guessed),
        Line("refused for a reason", f"{refused:,} not read, {_told(passed_over)} of them legible", not passed_over),
    ]
    return verdict(
        lines,
        metric="values that are not those of the document",
        value=float(len(unlike) + len(misread) + len(guessed)),
        baseline=None,
        threshold=0.0,
        figures={"read": read, "refused": refused},
    )


def _cited(answer: Mapping[str, Any], text: str) -> str | None:
    """The line that an answer names, as the document has it; None where it names none, or another one than it shows."""
    if not answer["reasons"]:
        return None
    (reason,) = json.loads(answer["reasons"])
    lines = text.split("\n")
    place = int(str(reason["feature"]).removeprefix("line ")) - 1
    return lines[place] if place < len(lines) and lines[place] == reason["value"] else None


def _numbers(line: str) -> list[float]:
    """Every number in a line, whichever decimal mark it has."""
    found = []
    for token in _TOKEN.findall(line):
        try:
            found.append(float(token.replace(",", ".")))
        except ValueError:
            continue
    return found


def _is_spoilt(line: str | None, name: str) -> bool:
    """Whether a number in a line has a letter or a question mark in it, so that nobody should read it.

    Args:
        line: None where none is cited.
        name: of the characteristic; words of it, such as d50, are no numbers.
    """
    words = name.split("_")
    tokens = [each for each in (line or "").split() if each.lower() not in words]
    return any(_SPOILT.fullmatch(each) and any(map(str.isdigit, each)) for each in tokens)


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)


def _told(wrong: list[str]) -> str:
    return f"{len(wrong):,} ({wrong[0]})" if wrong else "0"
