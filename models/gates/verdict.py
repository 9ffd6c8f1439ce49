"""What judging says. Light: no library of learning is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "insufficient"]


@dataclass(frozen=True)
class Gate:
    """One gate: what it looked at, the figures, and one sentence for a person."""

    name: str
    passed: bool
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "passed": self.passed, "sentence": self.sentence, "figures": self.figures}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a version.

    Attributes:
        name: `<stage>.<slug>`.
        version: The judged version.
        status: `passed`, `failed`, or `insufficient` when the hold-out cannot tell.
        gates: Every gate, in the order judged.
        champion: Version it was compared with; None for a first version.
        is_better: Whether it may claim to be better than the champion (5 % false claims over the horizon in all).
        rows: Rows of the hold-out.
        snapshot: Lake snapshot that the hold-out was read at; None for files.
        cutoffs: By version, the rule by which rows that it had seen were left out of the hold-out.
    """

    name: str
    version: str
    status: Status
    gates: list[Gate]
    champion: str | None
    is_better: bool
    rows: int
    snapshot: int | None = None
    cutoffs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the version may be promoted."""
        return self.status == "passed"

    @property
    def sentence(self) -> str:
        """Promoted because, or not promoted because."""
        broken = [gate.sentence for gate in self.gates if not gate.passed]
        if self.status == "passed":
            told = "there is no champion yet"
            if self.champion:
                told = f"{'better' if self.is_better else 'no worse'} than champion {self.champion}"
            return f"version {self.version} passed every gate on {self.rows} later rows: {told}"
        return f"version {self.version} not promoted, because " + "; ".join(broken)

    def gate(self, name: str) -> Gate:
        """One gate by name.

        Raises:
            KeyError: there is no such gate.
        """
        return {gate.name: gate for gate in self.gates}[name]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "status": self.status,
            "sentence": self.sentence,
            "champion": self.champion,
            "is_better": self.is_better,
            "rows": self.rows,
            "snapshot": self.snapshot,
            "cutoffs": self.cutoffs,
            "gates": [gate.as_json() for gate in self.gates],
        }
