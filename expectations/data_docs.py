"""Data Docs: every suite with its verdicts, as Great Expectations renders them, in pages that load nothing remote.

Suites are validated anew on whole tables for it, so it is a command of its own and no part of the night.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expectations.checks import TableSuite
from expectations.database import warm_database
from expectations.engine import Engine, warm_engine
from expectations.generate import domains_of
from expectations.report import LAYERS, Layer
from expectations.run import begin
from expectations.series import POINTS
from expectations.table_run import Run
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home

_STYLES = Path(__file__).with_name("data_docs.css")
# The library's own page loads ten styles, scripts and images from other people's servers.
_TEMPLATES = {
    "page.j2": """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{{ page_title }}</title>
<style>{{ styles }}</style></head><body><p><a href="index.html">All tables</a></p><h1>{{ page_title }}</h1>
{% for section in sections %}{% set section_loop = loop -%}{% include 'section.j2' %}{% endfor %}</body></html>""",
}


@dataclass(frozen=True)
class Page:
    """One table's page: what the index says of it."""

    layer: Layer
    domain: str
    table: str
    checks: int
    failed: int

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.layer}.{self.table}.html"


def build_docs(home: Home, site: Site, *, told: Callable[[str], None] = lambda _: None) -> Path:
    """Validate every suite on the lake as it is now and write a page per table.

    Args:
        home: the instance.
        site: the site.
        told: called with the layer and domain at work.

    Returns:
        `index.html` in the instance's folder of Great Expectations.

    Raises:
        CellworksError: no lake, or a wrong file of settings or suites.
    """
    folder = home.gx_dir / "data_docs"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    pages: list[Page] = []
    for layer in LAYERS:
        for domain in domains_of(site, layer):
            told(f"{layer} of {domain.replace('_', ' ')}")
            pages += _pages(home, site, layer, domain, folder)
    index = folder / "index.html"
    index.write_text(_index(site, pages), encoding="utf-8")
    return index


def _pages(home: Home, site: Site, layer: Layer, domain: str, folder: Path) -> Iterator[Page]:
    database = warm_database()
    with database.attached(home) as con, database.lent(POINTS, site.plan.control_points()):
        run = begin(database, con, site, layer, domain, full=True)
        for suite in run.suites:
            if suite.relation in run.columns:
                results = _results(run, suite)
                page = Page(layer, domain, suite.table, len(results), sum(not each.success for each in results))
                (folder / page.file).write_text(_render(suite, results), encoding="utf-8")
                yield page


def _results(run: Run, suite: TableSuite) -> list[Any]:
    """The library's result of each check; of those that fail with their counts and examples."""
    checks, _ = run.askable(suite)
    results: list[Any] = []
    with ExitStack() as stack:
        for name, relation in run.batches(suite, checks, stack):
            bound = [run.bound(each, relation) for each in checks if each.on == name]
            if bound:
                results += _validated(warm_engine(), relation, bound)
    return results


def _validated(engine: Engine, relation: str, checks: Sequence[Any]) -> Iterator[Any]:
    schema, name = (part.strip('"') for part in relation.split("."))
    for result in engine.validate(schema, name, checks, "BOOLEAN_ONLY").results:
        if result.success:
            yield result
        else:
            check = checks[result.expectation_config.meta["check"]]
            yield from engine.validate(schema, name, [check], "SUMMARY").results


def _render(suite: TableSuite, results: Sequence[Any]) -> str:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    held = sum(bool(each.success) for each in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": held,
        "unsuccessful_expectations": len(results) - held,
        "success_percent": 100.0 * held / len(results) if results else None,
    }
    whole = ExpectationSuiteValidationResult(
        success=held == len(results), results=list(results), suite_name=suite.relation, statistics=statistics, meta={}
    )
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(whole)
    document.page_title = f"{suite.relation}: {held} of {len(results)} expectations hold"
    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([DictLoader(_TEMPLATES), view.env.loader])
    page = str(view.render(document, styles=_STYLES.read_text(encoding="utf-8")))
    # The library links to a page of the suite alone, which would say nothing that this one doesn't.
    return re.sub(r'href="(\.\./)+expectations/[^"]*"', 'href="index.html"', page)


def _index(site: Site, pages: Sequence[Page]) -> str:
    rows = "".join(
        f'<tr class="{"fail" if page.failed else "pass"}"><td>{page.layer}</td><td>{html.escape(page.domain)}</td>'
        f'<td><a href="{html.escape(page.file)}">{html.escape(page.table)}</a></td><td>{page.checks}</td>'
        f"<td>{page.failed}</td></tr>"
        for page in pages
    )
    title = html.escape(f"{site.title}: what is expected of the data")
    styles = _STYLES.read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{styles}</style>'
        f"</head><body><h1>{title}</h1><table><thead><tr><th>layer</th><th>domain</th><th>table</th><th>expectations</th>"
        f"<th>failed</th></tr></thead><tbody>{rows}</tbody></table></body></html>"
    )
