"""Measured processes: wall and CPU seconds and peak memory of a child, what it printed, and what it died of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.environment import HOME_VARIABLE, SITE_VARIABLE, project_root
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import memory_limit, threads
from pipelines.lake.home import Home

_LINES = 15
_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Ran:
    """A process that ended well.

    Attributes:
        seconds: Wall seconds from start to end, start-up included.
        peak_bytes: Largest resident memory of the process or of any child that it waited for.
        output: What it printed.
        cpu_seconds: User and system seconds of all cores, of the process and of any child that it waited for.
    """

    seconds: float
    peak_bytes: int
    output: str
    cpu_seconds: float

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object that stands last in the output."""
        text = self.output.strip()
        start = 0 if text.startswith("{") else text.rfind("\n{") + 1
        found: dict[str, Any] = json.loads(text[start:])
        return found


def run(
    command: Sequence[str], logs: Path, *, home: Home | None = None, site: Path | None = None, cores: int = 0
) -> Ran:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        logs: Folder for what it prints; a failed run is read from there.
        home: Instance of the process; None leaves it as it is.
        site: Folder of its site; None leaves it as it is.
        cores: Bind the process to that many cores, where the system can; 0 leaves it free.

    Raises:
        CellworksError: It ended with another code than 0.
    """
    logs.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in logs.glob("*.out"))
    out, err, told = (logs / f"{number:03}.{kind}" for kind in ("out", "err", "json"))
    launched = [sys.executable, "-I", "-S", str(_LAUNCHER), str(told), str(cores), *command]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            launched, stdout=stdout, stderr=stderr, env=_environment(home, site), cwd=project_root()
        )
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    text = out.read_text(encoding="utf-8", errors="replace")
    if code:
        raise CellworksError(
            "a part of the benchmark failed",
            expected=f"`{' '.join(Path(each).name if each.startswith('/') else each for each in command)}` to end well",
            found=f"exit code {code}: {_last_lines(err, text)}",
            mend="run that part by itself; the figures of this benchmark are not to be trusted",
        )
    usage = json.loads(told.read_text(encoding="utf-8"))
    return Ran(usage["seconds"], usage["peak_bytes"], text, usage["cpu_seconds"])


def work(name: str, logs: Path, home: Home, *, site: Path | None = None, **arguments: Any) -> Ran:
    """Run a piece of ours, one of `orchestration.bench.work`, in a process of its own."""
    command = [sys.executable, "-m", "orchestration.bench.work", name, json.dumps(arguments)]
    return run(command, logs, home=home, site=site)


def cellworks(logs: Path, home: Home, *arguments: str, site: Path | None = None, cores: int = 0) -> Ran:
    """Run the command line as a person does."""
    return run([str(Path(sys.executable).with_name("cellworks")), *arguments], logs, home=home, site=site, cores=cores)


def bare_folder() -> Path:
    """Folder of the bare scripts.

    Raises:
        CellworksError: They are not there, as in an installed wheel.
    """
    folder = project_root() / "tests" / "bench" / "bare"
    if not folder.is_dir():
        raise CellworksError(
            "the bare scripts are not there",
            expected=f"the folder {folder}",
            found="no such folder; an installed package brings no tests",
            mend="run the benchmark in a clone of the repository",
        )
    return folder


def bare(script: str, logs: Path, *arguments: object) -> Ran:
    """Run one of the bare scripts; it knows nothing of ours."""
    return run([sys.executable, str(bare_folder() / script), *(str(each) for each in arguments)], logs)


def limits() -> list[str]:
    """Threads and memory limit of DuckDB, the same for both sides."""
    return [str(threads()), memory_limit()]


def _environment(home: Home | None, site: Path | None) -> Mapping[str, str]:
    named = {HOME_VARIABLE: None if home is None else home.root, SITE_VARIABLE: site}
    return {**os.environ, **{name: str(folder) for name, folder in named.items() if folder is not None}}


def _last_lines(err: Path, out: str) -> str:
    """The end of both: steps and their errors stand on the one, the summary of what failed on the other."""
    parts = (out, err.read_text(encoding="utf-8", errors="replace"))
    return "\n".join(line for part in parts for line in part.strip().splitlines()[-_LINES:]) or "it said nothing"
