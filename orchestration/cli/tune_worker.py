"""`tune-worker`: help a search that is under way on the servers."""

from __future__ import annotations

from dataclasses import asdict

from orchestration.catalogue import find
from orchestration.cli import console
from orchestration.plant import plant


def help_with(solution: str, *, as_json: bool) -> None:
    """Do trials of the solution's search until none is left, and print how many."""
    from models.tuning.joining import join

    here = plant()
    with console.only_ours():
        done = join(find(solution), here.home, here.site)
    told = f"{done.trials} of {done.asked} trials of {done.study} were done here"
    console.tell(asdict(done), told, as_json=as_json)
