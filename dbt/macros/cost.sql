{#- Cost that all steps of a day share; what depends on the day is in the KPI. -#}
{% macro cost_pools() -%}
    select * from (values
        {%- for pool in site_plan().cost.pools %}
        ('{{ pool.code }}', {{ pool.usd }}::double){{ ',' if not loop.last }}
        {%- endfor %}
    ) as pools (pool_code, daily_usd)
{%- endmacro %}

{#- The site's standard of each step: its share of fixed conversion cost, and its whole cost. -#}
{% macro step_standards() -%}
    select * from (values
        {%- for step in site_plan().cost.standards %}
        ('{{ step.code }}', {{ step.share }}::double, {{ step.usd_per_kwh }}::double){{ ',' if not loop.last }}
        {%- endfor %}
    ) as standards (step_code, conversion_share, standard_cost_usd_per_kwh)
{%- endmacro %}
