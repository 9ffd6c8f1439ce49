"""Publishing: what readers see moves on only after a domain's blocking checks passed."""

from collections.abc import Sequence

import dagster as dg

from orchestration import progress
from orchestration.assets.keys import published_key, table_key
from orchestration.domains import OWNERS
from orchestration.interruption import heard
from orchestration.manifest import Table
from orchestration.plant import plant


def published_asset(domain: str, marts: Sequence[Table]) -> dg.AssetsDefinition:
    """Return the asset that names the lake snapshot of a domain that readers take.

    Its dependencies are the domain's marts, whose checks block: a failed one leaves the old snapshot in place.
    """

    @dg.asset(
        key=published_key(domain),
        deps=[table_key(table.layer, table.name) for table in marts],
        group_name=f"marts_{domain}",
        owners=[OWNERS[domain]],
        kinds={"ducklake"},
        tags={"layer": "published", "domain": domain},
        description="The lake snapshot that scoring, training and pages read for this domain.",
    )
    def published(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from expectations.held import refuse_changed
        from pipelines.lake.connection import writer
        from pipelines.lake.lock import PUBLISHED
        from pipelines.lake.publish import publish

        progress.begin(f"publishing {domain.replace('_', ' ')}")
        with heard(), writer(plant().home, why=f"publish {domain}", area=PUBLISHED) as con:
            refuse_changed(con, [f"{table.layer}.{table.name}" for table in marts])
            snapshot = publish(con, domain, context.run_id)
        return dg.MaterializeResult(metadata={"lake_snapshot": snapshot})

    return published
