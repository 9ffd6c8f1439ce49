"""The family of predictive models: regression, quantiles, classification on a table of the lake or a file."""

from __future__ import annotations

from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, create_model

from models.spec import Part, PredictiveSpec
from orchestration.assets.keys import solution_key
from orchestration.catalogue import build_spec
from orchestration.components.scaffolding import PredictiveModelScaffolder
from orchestration.solving import MODEL, MONITORING, PREDICTIONS

_NAMED_BY_FOLDER = {"stage", "slug"}


def _attributes_model() -> type[BaseModel]:
    """Mirror `PredictiveSpec` without what the folder says, so that `dg check yaml` knows every attribute."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in PredictiveSpec.model_fields.items()
        if name not in _NAMED_BY_FOLDER
    }
    return create_model("PredictiveModelAttributes", __base__=Part, **fields)


PredictiveModelAttributes = _attributes_model()


@dg.scaffold_with(PredictiveModelScaffolder)
class PredictiveModel(dg.Component):
    """A question that a model answers for each entity, trained, gated, scored and watched every night.

    The folder `<stage>/<slug>/` of the `defs.yaml` names the solution. Its `table` is read at the last
    published snapshot, and only columns known at `acts_at` are there to be read. It yields three assets:
    `<stage>/<slug>/model` (training, gates, promotion), `.../predictions` (rows in `solutions.<slug>` and
    actions) and `.../monitoring` (live skill, drift), and a job of its own for materialising just them.
    """

    def __init__(self, spec: PredictiveSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Schema of `attributes:` in the YAML."""
        return PredictiveModelAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Build the component from its attributes; stage and slug are the names of its two folders."""
        folder = context.path if context.path.is_dir() else context.path.parent
        given = attributes.model_dump(exclude_unset=True) if attributes is not None else {}
        file = folder / "defs.yaml"
        return cls(build_spec(folder.parent.name, folder.name, given, str(file), file.read_text(encoding="utf-8")))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The solution's own job; its assets live in the batch step of its domain."""
        keys = [solution_key(self.spec, part) for part in (MODEL, PREDICTIONS, MONITORING)]
        job = dg.define_asset_job(
            name=f"{self.spec.stage}__{self.spec.slug}",
            selection=dg.AssetSelection.assets(*keys),
            description=f"Train, gate, score and watch {self.spec.solution} alone.",
            tags={"cellworks/solution": self.spec.solution},
        )
        return dg.Definitions(jobs=[job])
