"""What every family's component does: its YAML becomes a solution with its assets and a job of its own."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import dagster as dg
from pydantic import BaseModel, create_model

from models.families import Family, family_named
from models.solution import Resources, SolutionSpec
from orchestration.assets.keys import solution_key
from orchestration.catalogue import build_spec
from orchestration.components.schema import Attributes
from orchestration.executor import chosen_executor
from orchestration.jobs import SOLUTION_TAG
from orchestration.resources import pod_tags
from orchestration.whose import site_tag
from pipelines.lake.home import Home

_NAMED_BY_FOLDER = {"stage", "slug"}


def _own_executor(resources: Resources | None) -> dg.ExecutorDefinition | None:
    """Executor of a job whose solution asks for resources of its own; None for that of all jobs."""
    return None if resources is None else chosen_executor(Home.from_env().stores, resources)


class SolutionComponent(dg.Component):
    """A solution of a family of ours; the folder `<stage>/<slug>/` of its `defs.yaml` names it.

    It yields an asset for each part that its family has: `<stage>/<slug>/model` (learning, gates, promotion),
    `.../predictions` (rows in `solutions.<slug>` and actions) and `.../monitoring` (live skill, drift); and a job for
    just these.
    """

    attributes_model: ClassVar[type[BaseModel]]

    def __init__(self, spec: SolutionSpec) -> None:
        self.spec = spec

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mirror the family's spec without what the folder says, so that `dg check yaml` knows every attribute."""
        super().__init_subclass__(**kwargs)
        fields: dict[str, Any] = {
            name: (field.annotation, field)
            for name, field in cls.family().spec.model_fields.items()
            if name not in _NAMED_BY_FOLDER
        }
        cls.attributes_model = create_model(f"{cls.__name__}Attributes", __base__=Attributes, **fields)

    @classmethod
    def family(cls) -> Family:
        """The family that this class is the component of: they share the name."""
        found = family_named(cls.__name__)
        if found is None:
            raise LookupError(f"models.families has no family called {cls.__name__}")
        return found

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Schema of `attributes:` in the YAML."""
        return cls.attributes_model

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Build the component from its attributes; stage and slug are the names of its two folders."""
        folder = context.path if context.path.is_dir() else context.path.parent
        given = attributes.model_dump(exclude_unset=True) if attributes is not None else {}
        file = folder / "defs.yaml"
        text = file.read_text(encoding="utf-8")
        return cls(build_spec(cls.family(), (folder.parent.name, folder.name), given, str(file), text))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The solution's own job; its assets live in the batch step of its domain."""
        family = self.family()
        keys = [solution_key(self.spec, part) for part in family.parts]
        job = dg.define_asset_job(
            name=f"{self.spec.stage}__{self.spec.slug}",
            selection=dg.AssetSelection.assets(*keys),
            description=f"{self.spec.solution} alone: {', '.join(family.parts)}.",
            tags={SOLUTION_TAG: self.spec.solution, **site_tag(), **pod_tags(self.spec.resources)},
            executor_def=_own_executor(self.spec.resources),
        )
        return dg.Definitions(jobs=[job])
