"""What every fuzzer shares: damaged bytes, the profile, the guard against escapes, and the figures."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from pipelines.control_plan.errors import CellworksError

PROFILE = os.environ.get("CELLWORKS_FUZZ", "small")
IS_FULL = {"small": False, "full": True}[PROFILE]
SLOWEST_S = 10.0
"""A case that takes longer counts as hanging."""
_HANGS_S = 300
TOKENS = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\t",
    b"'",
    b'"',
    b"'';--",
    b"\\",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"~",
    b"${home}",
    b"%00",
    b"{{ 7 * 7 }}",
    b"{",
    b"}",
    b"[" * 40,
    b"[" * 5000,
    b"{a: " * 3000,
    b"!!python/object/apply:os.system [id]",
    b"!!binary x",
    b"!!set {a}",
    b"!!timestamp x",
    b"&a",
    b"*a",
    b"<<: *a",
    b"? [a, b]\n: c\n",
    b"? {a: b}\n: c\n",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n",
    b"1e999",
    b"-1",
    b".nan",
    b".inf",
    b"0x7fffffffffffffffffff",
    b"9" * 40,
    b"9" * 5000,
    b"1:1:1",
    b"2026-13-45",
    b"0001-01-01",
    b"null",
    b"true",
    b",",
    b";",
    b"," * 200,
    b"A" * 70_000,
    "\u202e\u0000".encode(),
    "\U0001f50b".encode(),
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b'{"a":' * 2000,
    b"=cmd|' /C calc'!A0",
    b"DROP TABLE x",
)


@dataclass
class Figures:
    """What one fuzzer did.

    Attributes:
        door: what was fuzzed.
        cases: inputs given.
        refused: of these, answered by a worded refusal.
        ended: of these, ended a process that was there to be ended.
        endless: of these, kept such a process busy until it was stopped.
        seconds: by the clock.
        slowest_s: the slowest case, or batch where cases go in together.
    """

    door: str
    cases: int = 0
    refused: int = 0
    ended: int = 0
    endless: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0

    @contextlib.contextmanager
    def case(self, *refusals: type[Exception], cases: int = 1, within_s: float = SLOWEST_S) -> Iterator[None]:
        """One case: ends within the bound, with success or a worded refusal; anything else fails the test."""
        begun = time.perf_counter()
        faulthandler.dump_traceback_later(_HANGS_S, exit=True)
        try:
            yield
        except (CellworksError, *refusals) as refused:
            assert str(refused).strip(), "a refusal says why"
            self.refused += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
            took = time.perf_counter() - begun
            self.cases += cases
            self.seconds += took
            self.slowest_s = max(self.slowest_s, took)
        assert took < within_s * max(1, cases / 20), f"{self.door}: a case took {took:.1f} s"


@dataclass
class Ledger:
    """Figures of all fuzzers of this run."""

    doors: dict[str, Figures] = field(default_factory=dict)

    def of(self, door: str) -> Figures:
        """Figures of a door."""
        return self.doors.setdefault(door, Figures(door))

    def told(self) -> list[dict[str, Any]]:
        """Figures of every door, as JSON takes them."""
        return [asdict(each) for each in self.doors.values()]


LEDGER = Ledger()


def cases(few: int, many: int, *, is_shrunk: bool = True) -> settings:
    """Settings of a fuzzer: `few` examples in the small profile, `many` in the full one."""
    return settings(
        max_examples=many if IS_FULL else few,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if is_shrunk and not IS_FULL else [])],
    )


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of some good inputs, with up to six damages: bits flipped, cut, repeated, hostile words put in.

    Choices that are drawn one by one shrink; the full profile, which does not shrink, draws a seed of all of them.
    """
    if IS_FULL:
        pick = random.Random(draw(st.integers(0, (1 << 64) - 1))).randint
    else:

        def pick(low: int, high: int) -> int:
            return draw(st.integers(low, high))

    content = bytearray(seeds[pick(0, len(seeds) - 1)])
    for _ in range(pick(1, 6)):
        place = pick(0, 1 << 20) % (len(content) + 1)
        how = pick(0, 5)
        if how == 0 and content:
            content[place % len(content)] ^= 1 << pick(0, 7)
        elif how == 1:
            del content[place:]
        elif how == 2:
            del content[place : place + pick(1, 40)]
        elif how == 3:
            length = pick(1, 60)
            content[place:place] = content[place : place + length] * pick(1, 5)
        else:
            length = pick(0, 12) if how == 5 else 0
            content[place : place + length] = TOKENS[pick(0, len(TOKENS) - 1)]
    return bytes(content)


class Guard:
    """Watches what this process opens for writing, starts and connects to, while it is `on`."""

    def __init__(self) -> None:
        self.allowed: Path | None = None
        self.escapes: list[str] = []
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def only(self, folder: Path) -> Iterator[None]:
        """Within, nothing may be written outside a folder, and nothing started or called."""
        self.allowed, self.escapes = folder.resolve(), []
        try:
            yield
        finally:
            self.allowed = None
        assert not self.escapes, self.escapes[:5]

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in {
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
            "pickle.find_class",
            "socket.connect",
        }:
            self.escapes.append(f"{event} {arguments[:2]!r}")
        elif event in {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            path = arguments[1] if event in {"os.symlink", "os.link", "os.rename"} else arguments[0]
            if isinstance(path, int) or path is None:
                return
            folder = arguments[1] if event in {"os.remove", "os.rmdir"} else -1  # as shutil.rmtree names it
            base = f"/proc/self/fd/{folder}" if folder != -1 else "."
            where = Path(base, os.fsdecode(path)).resolve()
            if (
                not where.is_relative_to(self.allowed)
                and str(where) != "/dev/null"
                and "__pycache__" not in where.parts
            ):
                self.escapes.append(f"{event} {where}")


GUARD = Guard()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content, for comparison."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}
