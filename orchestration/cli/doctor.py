"""`cellworks doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict

from orchestration.cli import console
from orchestration.doctor.examine import examine

_MARKS = {"ok": ("✓", "dim"), "warning": ("!", "yellow"), "error": ("✗", "red")}


def show_findings(*, as_json: bool) -> None:
    """Print what was found; exit code 1 when anything of it is an error."""
    with console.only_ours():
        findings = list(examine())
    counts = Counter(each.level for each in findings)
    told = {
        "healthy": not counts["error"],
        "errors": counts["error"],
        "warnings": counts["warning"],
        "findings": [asdict(each) for each in findings],
    }
    if as_json:
        console.tell(told, "", as_json=True)
    else:
        for each in findings:
            mark, style = _MARKS[each.level]
            console.line(f"{mark} {each.check}: {each.what}", 2, style)
            if each.mend:
                console.line(f"mend: {each.mend}", 6)
        console.line(f"{counts['error']} errors, {counts['warning']} warnings, {counts['ok']} in order", 0)
    if counts["error"]:
        sys.exit(1)
