{#-
    A feed as staging shows it: typed, in the plan's units, one row per key, with both times.

    The newest known_at of a key wins; where two are known at the same moment, the order of their hashes decides,
    so that the same deliveries in any order give the same row.
-#}
{% macro stage(feed) -%}
    {%- set plan = site_plan()['feeds'][feed] -%}
    {%- set days = rebuild_days() -%}
    {%- set raw = source('raw', feed) -%}
    {%- set names = plan.columns | map(attribute='name') | list -%}
{{ rebuild_note(days) }}
with delivered as (
    select {{ quoted(names) }}, production_day
    from {{ raw }}
    {%- if days is not none %}
    where ({{ quoted(plan['keys']) }}) in (
        select ({{ quoted(plan['keys']) }}) from {{ raw }} where {{ in_days('production_day', days) }}
    )
    {%- endif %}
),

newest as (
    select *
    from delivered
    qualify row_number() over (
        partition by {{ quoted(plan['keys']) }}
        order by known_at desc, hash({{ quoted(names) }}) desc
    ) = 1
)

select
    {%- for column in plan.columns %}
    {{ staged_column(plan.shape, column) }},
    {%- endfor %}
    newest.production_day
from newest
{%- if plan.shape == 'long' %}
left join ({{ unit_factors(feed) }}) as unit
    on newest.characteristic_code = unit.characteristic_code and newest.unit_code = unit.given_unit_code
{%- endif %}
where {{ in_days('newest.production_day', days) }}
{%- endmacro %}

{#- The shape is handed in: each site_plan() reads the whole plan anew. -#}
{% macro staged_column(shape, column) -%}
    {%- if shape == 'long' and column.name == 'value' -%}
        newest.value * unit.factor as value
    {%- elif shape == 'long' and column.name == 'unit_code' -%}
        unit.unit_code
    {%- else -%}
        cast(newest."{{ column.name }}" as {{ column.type }}) as "{{ column.name }}"
    {%- endif -%}
{%- endmacro %}

{#- For each characteristic of a long feed, the units it may come in and the factor to the plan's unit. -#}
{% macro unit_factors(feed) -%}
    select *
    from (values
        {%- for row in site_plan()['feeds'][feed].units %}
        ('{{ row.code }}', '{{ row.given }}', '{{ row.unit }}', {{ row.factor }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as factors (characteristic_code, given_unit_code, unit_code, factor)
{%- endmacro %}

{#- A series as it was delivered; series_by_day takes care of what came twice. -#}
{% macro stage_series(feed) -%}
{{ rebuild_note(rebuild_days()) }}
select
    {%- for column in site_plan()['feeds'][feed].columns %}
    cast("{{ column.name }}" as {{ column.type }}) as "{{ column.name }}",
    {%- endfor %}
    production_day
from {{ source('raw', feed) }}
{%- endmacro %}
