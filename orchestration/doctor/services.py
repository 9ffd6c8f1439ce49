"""Look at the servers that `cellworks services up` started for this home: whether they run and answer."""

from __future__ import annotations

from collections.abc import Iterator

from orchestration.doctor.finding import Finding, Installation, error, ok
from orchestration.services import control
from orchestration.services.settings import Place


def services(it: Installation) -> Iterator[Finding]:
    """The servers of this home run and answer; nothing where it has none, or the environment chose files."""
    if it.stores is None or it.stores.objects is None or not Place.of(it.home).settings.exists():
        return
    found = control.status(it.home)
    if not found["running"]:
        yield error("the servers of this home do not run", "run `cellworks services up`")
        return
    ill = [each for each in found["services"] if not each["healthy"]]
    for each in ill:
        log = f"read the end of {each['log']}, then " if each["log"] else ""
        detail = f": {each['detail']}" if each["detail"] else ""
        yield error(f"server {each['name']} ({each['state']}) is not well{detail}", f"{log}run `cellworks services up`")
    if not ill:
        yield ok(f"{len(found['services'])} servers of this home run and answer")
