"""Curated tables: one dbt call per layer and domain, so that a failed check stops one domain only."""

from collections.abc import Iterator, Sequence

import dagster as dg

from orchestration import progress
from orchestration.assets.keys import table_key
from orchestration.domains import OWNERS
from orchestration.interruption import heard
from orchestration.manifest import Layer, Table
from orchestration.plant import plant


def curated_assets(layer: Layer, domain: str, tables: Sequence[Table], pool: str) -> dg.AssetsDefinition:
    """Return the step that builds one domain's tables of a layer.

    Args:
        layer: staging or marts.
        domain: The domain whose tables these are.
        tables: At least one table.
        pool: The pool of what has the whole lake alone.
    """
    own = {(table.layer, table.name) for table in tables}
    specs = [
        dg.AssetSpec(
            table_key(layer, table.name),
            deps=[table_key(*upstream) for upstream in sorted(table.upstream - own)],
            group_name=f"{layer}_{domain}",
            description=table.description or None,
            owners=[OWNERS[domain]],
            kinds={"dbt", "ducklake"},
            tags={"layer": layer, "domain": domain},
            metadata={
                "dagster/column_schema": dg.TableSchema(
                    columns=[dg.TableColumn(name, description=text) for name, text in table.columns.items()]
                )
            },
        )
        for table in tables
    ]

    @dg.multi_asset(name=f"{layer}_{domain}", specs=specs, pool=pool)
    def curated(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        """Rebuild the affected production days of this layer and domain."""
        from pipelines.curation.run import curate

        here = plant()
        progress.begin(f"curating {layer} of {domain.replace('_', ' ')}")
        with heard():
            report = curate(here.home, here.site, layer=layer, domain=domain, progress=progress.advance)
        context.log.info("%s", report)
        if report.status == "failed":
            # Readers stay on the last published snapshot: nothing downstream of this domain runs.
            raise dg.Failure(description=str(report)[:4000], allow_retries=False)
        for table in tables:
            yield dg.MaterializeResult(asset_key=table_key(layer, table.name), metadata={"run": str(context.run_id)})

    return curated
