"""The solutions of this instance, read from their `defs.yaml` without Dagster.

The command line uses this to list, check and name them; the component reads the same attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from models.families import FAMILIES, Family
from models.solution import SolutionSpec
from orchestration.environment import definition_folders, project_root
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.yaml_file import compose, read_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def type_of(family: Family) -> str:
    """How a `defs.yaml` names a family."""
    return f"orchestration.components.{family.component}"


def solution_files(folders: Iterable[Path] | None = None) -> Iterator[tuple[str, str, Path]]:
    """Yield stage, slug and file of each `<stage>/<slug>/defs.yaml`, sorted within a folder."""
    for folder in definition_folders() if folders is None else folders:
        for file in sorted(folder.glob("*/*/defs.yaml")):
            yield file.parent.parent.name, file.parent.name, file


def discover(folders: Iterable[Path] | None = None) -> list[SolutionSpec]:
    """Return the solutions of our families, checked.

    Raises:
        CellworksError: A file is not YAML, an attribute is wrong, or two solutions share a slug.
    """
    specs = [spec for stage, slug, file in solution_files(folders) if (spec := _read(stage, slug, file))]
    refuse_shared_slugs(specs)
    return specs


def find(name: str, specs: Iterable[SolutionSpec] | None = None) -> SolutionSpec:
    """Return the solution `stage/slug` (or a slug alone).

    Raises:
        CellworksError: There is no such solution.
    """
    known = list(discover() if specs is None else specs)
    for spec in known:
        if name in (spec.solution, spec.slug, spec.name):
            return spec
    raise CellworksError(
        f"no solution is called '{name}'",
        expected=", ".join(spec.solution for spec in known) or "at least one defs.yaml under orchestration/defs",
        found=name,
        mend="take one of these names, or write a new one with `cellworks solution new`",
    )


def build_spec(
    family: Family, folder: tuple[str, str], attributes: Mapping[str, Any], where: str, text: str = ""
) -> SolutionSpec:
    """Return the spec that a file's attributes say; stage and slug come from its folder.

    Args:
        family: The family that the file's type names.
        folder: Stage and slug.
        attributes: What the file says.
        where: The file, for messages.
        text: The file's content, so that a message can name the line.

    Raises:
        CellworksError: An attribute is missing, unknown or out of range.
    """
    stage, slug = folder
    try:
        spec = family.spec.model_validate({"stage": stage, "slug": slug, **attributes})
    except ValidationError as error:
        told = [(_place(fault), fault["msg"]) for fault in error.errors(include_url=False)]
        lines = [line_of(text, ("attributes", *place)) for place, _ in told] if text else []
        faults = [f"{'.'.join(str(part) for part in place) or 'attributes'}: {message}" for place, message in told]
        if lines:
            faults = [f"line {line}: {fault}" for line, fault in zip(lines, faults, strict=True)]
        raise CellworksError(
            f"the solution {stage}/{slug} is not described rightly",
            expected=f"the attributes of {family.component}, as `dg utils inspect-component "
            f"orchestration.components.{family.component}` and docs/reference/solution.md show them",
            found="; ".join(faults),
            mend="correct the file",
            where=f"{where}, line {max(lines)}" if lines else where,
        ) from error
    return _with_files_beside(spec, (project_root() / where).parent)


def _place(fault: ErrorDetails) -> tuple[str | int, ...]:
    """Where a fault is; of a part whose kind is unknown, its kind."""
    kind = [fault["ctx"]["discriminator"].strip("'")] if fault["type"] == "union_tag_invalid" else []
    return (*fault["loc"], *kind)


def _with_files_beside(spec: SolutionSpec, folder: Path) -> SolutionSpec:
    """The spec with the names of table files that lie beside its YAML made absolute."""
    beside = {name: str(folder / name) for name in spec.files if (folder / name).is_file()}
    return spec.over(beside, "").model_copy(update={"domain": spec.domain}) if beside else spec


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Line, from 1, of a key in YAML; of the deepest part that is there when the key itself is missing."""
    node = compose(text)
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:  # the key itself is missing, or it names the kind of a part
                continue
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def refuse_shared_slugs(specs: Iterable[SolutionSpec]) -> None:
    """Refuse two solutions of one slug: the slug is the name of the table of predictions.

    Raises:
        CellworksError: Two stages use the same slug.
    """
    seen: dict[str, SolutionSpec] = {}
    for spec in specs:
        other = seen.setdefault(spec.slug, spec)
        if other is not spec:
            raise CellworksError(
                f"two solutions are called '{spec.slug}'",
                expected="a slug that no other stage uses: it names the table solutions.<slug>",
                found=f"{other.solution} and {spec.solution}",
                mend="rename one of the folders",
            )


def _read(stage: str, slug: str, file: Path) -> SolutionSpec | None:
    root = project_root()
    where = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
    try:
        text = file.read_text(encoding="utf-8")
        content = read_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CellworksError(
            "a defs.yaml can't be read",
            expected="YAML in UTF-8",
            found=str(error),
            mend="correct the file",
            where=where,
        ) from error
    if not isinstance(content, dict) or "type" not in content:
        raise CellworksError(
            "a defs.yaml names no type",
            expected=f"`type: {type_of(FAMILIES[0])}` and `attributes:`",
            found=type(content).__name__,
            mend="write one with `cellworks solution new` and compare",
            where=where,
        )
    family = next((each for each in FAMILIES if type_of(each) == content["type"]), None)
    if family is None:
        return None  # no family of ours; Dagster itself loads and checks it
    attributes = content.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(name, str) for name in attributes):
        raise CellworksError(
            "a defs.yaml names no attributes",
            expected="`attributes:` with names and values below it",
            found=type(attributes).__name__,
            mend="write one with `cellworks solution new` and compare",
            where=where,
        )
    return build_spec(family, (stage, slug), attributes, where, text)
