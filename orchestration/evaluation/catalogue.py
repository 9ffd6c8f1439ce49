"""The 48 digital solutions as the design lists them, and which folders are each one's; see `defs/catalogue.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator

from models.solution import ActionKind, Part
from orchestration.catalogue import line_of
from orchestration.environment import project_root
from pipelines.control_plan.errors import CellworksError

COUNT = 48
FILE = Path("orchestration", "defs", "catalogue.yaml")


class Row(Part):
    """One solution of the catalogue."""

    number: int = Field(ge=1, le=COUNT, description="its number in the catalogue")
    solution: str = Field(pattern=r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$", description="stage/slug")
    families: list[str] = Field(min_length=1, description="components it is made of; each must meet its family's line")
    over: str = Field(default="", description="what an optimiser searches over, or a model looks at")
    acts_at: str = Field(description="the step")
    actions: list[ActionKind] = Field(min_length=1, description="what it proposes")
    asks: str = Field(description="the question in one sentence")
    folders: list[str] = Field(default_factory=list, description="its folders; none: <stage>/<slug> alone")

    @property
    def stage(self) -> str:
        """Stage of the life cycle."""
        return self.solution.split("/")[0]

    @property
    def slug(self) -> str:
        """Name within the stage."""
        return self.solution.split("/")[1]

    @property
    def parts(self) -> list[str]:
        """Folders that are its, as stage/slug."""
        return self.folders or [self.solution]


class Catalogue(Part):
    """All rows."""

    solutions: list[Row]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        numbers = [row.number for row in self.solutions]
        if numbers != list(range(1, COUNT + 1)):
            msg = f"rows are numbered 1 to {COUNT}, each once and in order; found {numbers}"
            raise ValueError(msg)
        names = [row.solution for row in self.solutions]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            msg = f"each row is another solution; found twice: {', '.join(twice)}"
            raise ValueError(msg)
        return self


def rows(file: Path | None = None) -> list[Row]:
    """Return the 48 rows in their order.

    Args:
        file: the catalogue; default the project's.

    Raises:
        CellworksError: a row is wrong; the message names file, line and field.
    """
    file = file or project_root() / FILE
    text = file.read_text(encoding="utf-8")
    try:
        return Catalogue.model_validate(yaml.safe_load(text)).solutions
    except ValidationError as error:
        told = error.errors(include_url=False, include_context=False)
        raise CellworksError(
            "the catalogue of solutions is not right",
            expected="a row for each solution, as the other rows are",
            found="; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in told),
            mend="correct the row",
            where=f"{file}, line {line_of(text, told[0]['loc'])}",
        ) from error


def strangers(folders: Iterable[str], known: Iterable[Row]) -> list[str]:
    """Folders (stage/slug) that belong to no row."""
    named = {part for row in known for part in row.parts}
    return sorted(set(folders) - named)
