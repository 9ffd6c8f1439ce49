"""Errors that a person reads: what is wrong, what was expected, what was found and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_SHOWN_PROBLEMS = 20


class CellworksError(Exception):
    """A mistake in input or configuration, told without a traceback by the command line (exit code 2).

    Args:
        what: one sentence saying what is wrong.
        expected: what would have been right.
        found: what was there.
        mend: what the person can do about it.
        where: file, line, field or object it was found in.
    """

    def __init__(self, what: str, *, expected: str = "", found: str = "", mend: str = "", where: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.mend = mend
        self.where = where

    def __str__(self) -> str:
        labelled = (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("mend", self.mend),
        )
        return "\n".join([self.what, *(f"  {label + ':':<10}{text}" for label, text in labelled if text)])


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one place of a site's files.

    Attributes:
        file: name of the file, relative to the site folder.
        line: line number, 1 for the first line; 0 when the whole file is meant.
        field: column or key path; empty when the whole line is meant.
        reason: what is wrong.
        mend: what to do about it.
    """

    file: str
    line: int
    field: str
    reason: str
    mend: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: {self.field}: {self.reason}" if self.field else f"{place}: {self.reason}"
        return f"{text}; {self.mend}" if self.mend else text


class PlanError(CellworksError):
    """Everything wrong in a site's files, told at once (the first 20 problems in full).

    Args:
        folder: the site folder, as the user named it.
        problems: at least one problem.
    """

    def __init__(self, folder: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"site {folder}: {count} problem{'' if count == 1 else 's'}", where=folder)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        shown = [f"  {problem}" for problem in self.problems[:MAX_SHOWN_PROBLEMS]]
        hidden = len(self.problems) - len(shown)
        return "\n".join([self.what, *shown, *([f"  ... and {hidden} more"] if hidden else [])])
