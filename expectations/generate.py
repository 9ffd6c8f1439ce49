"""Every suite of a layer and domain: generated from the control plan, the feeds and dbt's contracts, and by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from expectations.checks import TableSuite
from expectations.marts import contracts, mart_names, mart_suite
from expectations.raw import raw_suite
from expectations.report import LAYERS, Layer
from expectations.settings import Settings, load_settings
from expectations.staging import staging_suite
from expectations.written import WrittenSuite, written_suites
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site


def domains_of(site: Site, layer: Layer) -> list[str]:
    """Domains that have tables in a layer, in the order of the feeds."""
    if layer == "marts":
        return list(dict.fromkeys(contract.domain for contract in contracts().values()))
    return list(dict.fromkeys(feed.domain for feed in site.feeds.values()))


def suites(site: Site, layer: Layer, domain: str, columns: Mapping[str, Mapping[str, str]]) -> list[TableSuite]:
    """Suites of one layer and domain.

    Args:
        site: the site.
        layer: raw, staging or marts.
        domain: domain of the tables.
        columns: `schema.table` -> column -> DuckDB type, of the lake.

    Raises:
        CellworksError: no such layer or domain, or a wrong file of settings or suites.
    """
    if layer not in LAYERS or domain not in domains_of(site, layer):
        expected = ", ".join(domains_of(site, layer)) if layer in LAYERS else ", ".join(LAYERS)
        raise CellworksError("there is no such suite", expected=expected, found=f"{layer}, {domain}")
    written = written_suites(site)
    settings = load_settings(site)
    made = _generated(site, layer, domain, settings, columns)
    return [_with_written(suite, written) for suite in made]


def _generated(
    site: Site, layer: Layer, domain: str, settings: Settings, columns: Mapping[str, Mapping[str, str]]
) -> Iterator[TableSuite]:
    if layer == "marts":
        for name in mart_names(domain):
            yield mart_suite(site, name, settings, columns.get(f"marts.{name}", {}))
        return
    make = raw_suite if layer == "raw" else staging_suite
    for feed in site.feeds.values():
        if feed.domain == domain:
            yield make(site, feed, settings)


def _with_written(suite: TableSuite, written: dict[str, list[WrittenSuite]]) -> TableSuite:
    for each in written.get(suite.relation, []):
        suite = replace(suite, checks=(*suite.checks, *each.checks()), profiles=(*suite.profiles, *each.as_profiles()))
    return suite
