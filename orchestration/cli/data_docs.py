"""`data-docs`: what is expected of the data, as pages to be opened in a browser."""

from __future__ import annotations

import webbrowser

from orchestration.cli.console import bars
from orchestration.plant import plant


def build(*, opened: bool) -> None:
    """Write the pages and say where they are."""
    from expectations.data_docs import build_docs

    here = plant()
    with bars() as shown:
        index = build_docs(here.home, here.site, told=lambda what: shown.begin(f"validating {what}"))
    print(index)
    if opened:
        webbrowser.open(index.as_uri())
