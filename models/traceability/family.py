"""The family's one function: a passport for every entity, and what cannot be traced in any."""

from __future__ import annotations

import json
from datetime import datetime

import pyarrow as pa

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.scoring.rule import RuleAnswers, rule_version, score_by_rule
from models.scoring.score import ScoreReport
from models.scoring.table import relation
from models.traceability.passport import Issued, issue
from models.traceability.spec import TraceSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""


def score(spec: TraceSpec, ctx: ModelContext) -> ScoreReport:
    """Issue the passport of every entity that has no complete one, and tell what is new; see `score_by_rule`.

    An answer's value is the share of its parts that can be traced to every material; its class is `complete`,
    `incomplete` (some part can't be) or `invalid` (the document is refused by its schema), and only the first is not
    flagged. The documents stand in `solutions.<slug>_passport`, the newest of each entity. A complete one is issued
    once by a rule: it is a document that others hold.

    Raises:
        CellworksError: there is no site, a table or a column is missing.
    """
    site = ctx.site
    if site is None:
        raise CellworksError(
            "a passport needs a site", expected="a site with its product", found="none", mend="name one with --site"
        )

    def answer(now: datetime) -> RuleAnswers | None:  # noqa: ARG001 - a thing is judged by its records, not by the hour
        standing = _standing(spec, ctx)
        with open_tables(ctx, spec.table) as tables:
            entities = _entities(tables, spec, standing)
            moments = dict(zip(entities["name"].to_pylist(), entities["event_at"].to_pylist(), strict=True))
            issued = issue(tables, spec, site, spec.passport.of, moments) if moments else {}
        return _told(spec, entities, issued, standing) if issued or standing.num_rows else None

    return score_by_rule(spec, ctx, FORMAT, answer)


def _standing(spec: TraceSpec, ctx: ModelContext) -> pa.Table:
    """Key and complete passport of each entity that this rule has issued one for."""
    key, documents = quote_identifier(spec.keys[0]), f"{spec.slug}_passport"
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", documents):
            return pa.table({spec.keys[0]: pa.array([], pa.string()), "passport": pa.array([], pa.string())})
        return con.execute(
            f"""
            SELECT document.* FROM {relation(documents)} AS document SEMI JOIN (
                SELECT {key} FROM {relation(spec.slug)} GROUP BY ALL
                HAVING arg_max((class, model_version), scored_at) = ('complete', $version)
            ) AS complete USING ({key}) ORDER BY {key}
            """,
            {"version": rule_version(spec, FORMAT)},
        ).to_arrow_table()


def _entities(tables: Tables, spec: TraceSpec, standing: pa.Table) -> pa.Table:
    """Key, name and moment of those without a complete passport."""
    key = quote_identifier(spec.keys[0])
    tables.con.register("cw_standing", standing)
    return tables.arrow(
        f"SELECT {key}, CAST({key} AS VARCHAR) AS name, {quote_identifier(spec.time)} AS event_at "
        f"FROM {tables.relation(spec.table)} ANTI JOIN cw_standing USING ({key}) ORDER BY 1"
    )


def class_of(passport: Issued) -> str:
    """What became of it."""
    if passport.faults:
        return "invalid"
    return "complete" if passport.traced and passport.complete == passport.traced else "incomplete"


def _told(spec: TraceSpec, entities: pa.Table, issued: dict[str, Issued], standing: pa.Table) -> RuleAnswers:
    key, passports = spec.keys[0], list(issued.values())
    classes = [class_of(each) for each in passports]
    texts = [json.dumps(each.document, ensure_ascii=False) for each in passports]
    documents = pa.table({key: entities[key], "passport": pa.array(texts, pa.string())})
    faulty = [name for name, each in issued.items() if each.faults]
    untraced = [name for name, each in issued.items() if each.complete < each.traced or not each.traced]
    return RuleAnswers(
        keys={key: entities[key]},
        event_at=entities["event_at"].combine_chunks(),
        answers={
            "value": [each.complete / each.traced if each.traced else 0.0 for each in passports],
            "class": classes,
            "is_flagged": [each != "complete" for each in classes],
            "reasons": [_reasons(each) for each in passports],
        },
        checks={
            "valid": _sentence("refused by the schema", faulty),
            "traced": _sentence("with parts that are not traced to every material", untraced),
        },
        current={"passport": pa.concat_tables([standing, documents]).sort_by(key)},
    )


def _reasons(passport: Issued) -> str | None:
    """What is wrong with it as JSON: materials that parts can't be traced to, and what the schema refuses."""
    wrong: list[dict[str, object]] = [{"feature": name, "value": parts} for name, parts in passport.lacking.items()]
    wrong += [{"feature": "schema", "value": fault} for fault in passport.faults[:3]]
    return json.dumps(wrong) if wrong else None


def _sentence(what: str, names: list[str]) -> tuple[bool, str]:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return not names, f"{what}: {shown}" if names else ""
