"""Two expectation types of our own that Great Expectations computes in the one bundled query of a batch.

Its own types for compound keys, row conditions and cross-table rules run a query each, or two; these are aggregates
like the counts behind its column expectations, so a table is read once. Importing this module loads the library.
"""

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.compatibility.sqlalchemy import sqlalchemy as sa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes, MetricPartialFunctionTypeSuffixes
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import RenderedStringTemplateContent
from great_expectations.render.components import LegacyRendererType
from great_expectations.render.renderer.renderer import renderer
from great_expectations.validator.metric_configuration import MetricConfiguration

_AGGREGATE = {
    "engine": SqlAlchemyExecutionEngine,
    "partial_fn_type": MetricPartialFunctionTypes.AGGREGATE_FN,
    "domain_type": MetricDomainTypes.TABLE,
}


class BatchReady(TableMetricProvider):  # type: ignore[misc]
    """Nothing but a step in the graph of metrics.

    The library computes in one query what becomes computable at one time; with this step our aggregates become so
    together with the counts behind its column expectations, and a table is read once instead of twice.
    """

    metric_name = "table.batch_ready"

    @metric_value(engine=SqlAlchemyExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(cls, **_: Any) -> bool:  # noqa: N805
        return True

    @classmethod
    def _get_evaluation_dependencies(cls, metric: Any, *_: Any, **__: Any) -> dict[str, MetricConfiguration]:
        return _after("table.columns", metric)


def _after(name: str, metric: Any) -> dict[str, MetricConfiguration]:
    domain = {"batch_id": metric.metric_domain_kwargs.get("batch_id")}
    return {name: MetricConfiguration(metric_name=name, metric_domain_kwargs=domain, metric_value_kwargs=None)}


class _Aggregate(TableMetricProvider):  # type: ignore[misc]
    """A metric that waits for `BatchReady`."""

    @classmethod
    def _get_evaluation_dependencies(cls, metric: Any, *rest: Any, **kwargs: Any) -> dict[str, MetricConfiguration]:
        dependencies: dict[str, MetricConfiguration] = super()._get_evaluation_dependencies(metric, *rest, **kwargs)
        if metric.metric_name.endswith(MetricPartialFunctionTypeSuffixes.AGGREGATE_FUNCTION.value):
            dependencies |= _after("table.batch_ready", metric)
        return dependencies


class ShareUnsatisfied(_Aggregate):
    """Share of the rows on which an expression is false."""

    metric_name = "table.share_unsatisfied"
    value_keys = ("expression",)

    @metric_partial(**_AGGREGATE)  # type: ignore[untyped-decorator]
    def _sqlalchemy(cls, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Any:  # noqa: N805
        sql = f"coalesce(count_if(NOT ({metric_value_kwargs['expression']})) / nullif(count(*), 0)::DOUBLE, 0.0)"
        return sa.literal_column(sql), metric_domain_kwargs, {}


class SqlAggregate(_Aggregate):
    """Value of a SQL aggregate."""

    metric_name = "table.sql_aggregate"
    value_keys = ("expression",)

    @metric_partial(**_AGGREGATE)  # type: ignore[untyped-decorator]
    def _sqlalchemy(cls, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> Any:  # noqa: N805
        return sa.literal_column(f"({metric_value_kwargs['expression']})::DOUBLE"), metric_domain_kwargs, {}


class _SqlExpectation(BatchExpectation):  # type: ignore[misc]
    """What both have in common: an expression, and how a Data Docs page shows it."""

    expression: str
    title: str = ""

    success_keys: ClassVar[tuple[str, ...]] = ("expression",)

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)  # type: ignore[untyped-decorator]
    @render_suite_parameter_string  # type: ignore[untyped-decorator]
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[Any]:
        kwargs = (configuration or result.expectation_config).kwargs
        styling = (runtime_configuration or {}).get("styling")
        template = {"template": "$title", "params": {"title": kwargs.get("title", "")}, "styling": styling}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


class ExpectRowsToSatisfy(_SqlExpectation):
    """Expect a SQL expression to be true (or NULL) on all rows but `max_share` of them."""

    max_share: float = 0.0

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.share_unsatisfied",)
    success_keys: ClassVar[tuple[str, ...]] = ("expression", "max_share")

    def _validate(self, metrics: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        share = metrics["table.share_unsatisfied"]
        return {"success": share <= self.max_share, "result": {"observed_value": share}}


class ExpectAggregateToBeBetween(_SqlExpectation):
    """Expect a SQL aggregate over the batch to lie in a closed range."""

    min_value: float | None = None
    max_value: float | None = None

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.sql_aggregate",)
    success_keys: ClassVar[tuple[str, ...]] = ("expression", "min_value", "max_value")

    def _validate(self, metrics: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        value = metrics["table.sql_aggregate"]
        low = -float("inf") if self.min_value is None else self.min_value
        high = float("inf") if self.max_value is None else self.max_value
        return {"success": value is not None and low <= value <= high, "result": {"observed_value": value}}
