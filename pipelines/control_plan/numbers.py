"""Numbers of control points: 31 bits from the id alone, or what site.yaml gives where two would have the same.

A rule that needs the id alone, keeps to 31 bits and never clashes does not exist, and one that looks at which other
points there are would give a point another number when a machine is added: years of telemetry would change their
meaning. So the few points that clash get theirs in site.yaml, once, where a review sees it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

from pipelines.control_plan.errors import CellworksError

LARGEST: Final = 2**31 - 1
FIELD: Final = "point_numbers"
Numbered = Sequence[tuple[str, int]]
"""Ids of control points with their numbers."""


def point_no(control_point_id: str) -> int:
    """Number of a control point, 1 to 2^31 - 1, from its id alone.

    A running number would shift when the plan grows by a row.
    """
    return zlib.crc32(control_point_id.encode()) & LARGEST or 1


def numbers_to_give(points: Numbered, given: Mapping[str, int]) -> dict[str, int]:
    """Numbers for the points whose own is another's, by id; none is taken, and all others keep theirs.

    Of two that clash the one with a given number keeps it, else the one that comes first. What is proposed follows from
    ids and order alone: all who read the same files propose the same.

    Args:
        points: each id once.
        given: numbers of `points` that site.yaml gives.
    """
    owners = {number: name for name, number in reversed(points)}
    owners |= {number: name for name, number in reversed(points) if name in given}
    taken, found = set(owners), dict[str, int]()
    for name, number in points:
        if owners[number] != name:
            found[name] = next(each for each in _further(name) if each not in taken)
            taken.add(found[name])
    return found


def _further(control_point_id: str) -> map[int]:
    """Numbers to try for a point whose own is taken; of another hash, since what clashes in a CRC does so again."""

    def tried(attempt: int) -> int:
        digest = hashlib.sha256(f"{control_point_id}#{attempt}".encode()).digest()
        return int.from_bytes(digest[:4], "big") & LARGEST or 1

    return map(tried, count(2))


def refuse_clash(points: Numbered, given: Mapping[str, int]) -> None:
    """Refuse points of which two have the same number, or the same id, and given numbers of no point.

    Raises:
        CellworksError: it names all of them, and the lines for site.yaml.
    """
    ids = {name for name, _ in points}
    if unknown := sorted(set(given) - ids):
        raise CellworksError(
            "site.yaml gives numbers to control points that there are not",
            expected="ids as in marts.control_point",
            found=", ".join(unknown),
            mend=f"correct them, or take them out of {FIELD}",
            where=f"site.yaml: {FIELD}",
        )
    if len({number for _, number in points}) == len(points):
        return
    by_no: dict[int, list[str]] = {}
    for name, number in points:
        by_no.setdefault(number, []).append(name)
    alike = {number: names for number, names in by_no.items() if len(names) > 1}
    found = "; ".join(f"{' and '.join(names)}, both {number}" for number, names in alike.items())
    if len(ids) < len(points):
        mend = "rename one of the two characteristics or machines"
    else:
        lines = "".join(f"\n    {name}: {number}" for name, number in numbers_to_give(points, given).items())
        mend = (
            "give one of each another number in site.yaml, for good; where values of one have been delivered already, "
            f"the other:\n  {FIELD}:{lines}"
        )
    raise CellworksError("two control points have the same number", found=found, mend=mend)


def refuse_other_number(before: Mapping[str, int], points: Numbered) -> None:
    """Refuse points that had another number when values were taken in under it.

    Args:
        before: number by id, as the lake has them.
        points: as the site has them now.

    Raises:
        CellworksError: it names them, and the lines for site.yaml that keep their numbers.
    """
    moved = {name: before[name] for name, number in points if before.get(name, number) != number}
    if not moved:
        return
    now = dict(points)
    lines = "".join(f"\n    {name}: {number}" for name, number in moved.items())
    raise CellworksError(
        "control points have other numbers than the values in the lake",
        expected="a number that never changes, since values by the minute are told apart by it alone",
        found="; ".join(f"{name} was {number}, is {now[name]}" for name, number in moved.items()),
        mend=f"keep their numbers in site.yaml, and give new points others:\n  {FIELD}:{lines}",
        where=f"site.yaml: {FIELD}",
    )
