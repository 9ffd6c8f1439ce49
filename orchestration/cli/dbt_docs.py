"""`cellworks dbt-docs`: one page on every curated table, column and unit."""

from __future__ import annotations

from orchestration.cli import console
from orchestration.plant import plant


def write(*, as_json: bool) -> None:
    """Write the page and say where it is; it opens from disk and loads nothing from elsewhere."""
    from pipelines.curation.run import docs
    from pipelines.lake.schemas import bootstrap

    here = plant()
    with console.bars() as shown:
        shown.begin("describing the curated tables")
        bootstrap(here.home, here.site)
        page = docs(here.home, here.site)
    console.tell({"page": str(page)}, f"Open {page}", as_json=as_json)
