{#- What marts.cell is made of; columns of characteristics follow from the plan. -#}

{#- The feed of a cell that names the lot of a material, or none: then it comes with the electrodes. -#}
{% macro lot_feed(material) -%}
    {%- set feeds = site_plan().feeds -%}
    {%- for feed in ('mes__stacking', 'mes__assembly', 'mes__filling') -%}
        {%- if (material ~ '_lot_id') in (feeds[feed].columns | map(attribute='name')) -%}
            {{ return(feed) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}

{#- The lot of a material in a cell. -#}
{% macro cell_lot(material) -%}
    {%- set feed = lot_feed(material) -%}
    {%- if feed is not none -%} {{ feed }}."{{ material }}_lot_id"
    {%- else -%} coalesce(cathode_roll."{{ material }}_lot_id", anode_roll."{{ material }}_lot_id")
    {%- endif -%}
{%- endmacro %}

{#- When it could be known that the lot went into what became the cell. -#}
{% macro cell_lot_known_at(material) -%}
    {%- set feed = lot_feed(material) -%}
    {%- if feed is not none -%} {{ feed }}.known_at
    {%- else -%} coalesce(cathode_roll."{{ material }}_lot_known_at", anode_roll."{{ material }}_lot_known_at")
    {%- endif -%}
{%- endmacro %}

{#- Materials that the plan has characteristics of. -#}
{% macro tested_materials() -%}
    {{ return(site_plan().codes.lims__material_result | map(attribute='variant') | unique | list) }}
{%- endmacro %}

{#- Metres on the mother roll of a stretch given on the daughter roll, whose zero is its outer end when flipped. -#}
{% macro mother_metres(roll, metre) -%}
    case when {{ roll }}.is_flipped then {{ roll }}.to_m - {{ metre }} else {{ roll }}.from_m + {{ metre }} end
{%- endmacro %}

{#- Steps that a cell can be looked at from, with the feed whose record must be there before the cell can enter. -#}
{% macro cell_steps() -%}
    {{ return({
        'coating': none, 'calendering': none, 'stacking': none,
        'sealing': 'mes__stacking', 'baking': 'mes__assembly', 'filling': 'mes__assembly',
        'formation': 'mes__filling', 'ageing': 'tester__formation', 'grading': 'tester__ageing',
        'module': 'tester__grading',
    }) }}
{%- endmacro %}

{#- Whether a characteristic of the cell keeps the limits of the control plan; null where it is not known. -#}
{% macro keeps_limits(code) -%}
    {%- set plan = site_plan().limits[code] -%}
    {%- if plan.lsl is not none %}"{{ code }}" >= {{ plan.lsl }}::double{% endif -%}
    {%- if plan.lsl is not none and plan.usl is not none %} and {% endif -%}
    {%- if plan.usl is not none %}"{{ code }}" <= {{ plan.usl }}::double{% endif -%}
{%- endmacro %}

{#-
    Point in time: what a person standing at the entry of a step could know of a value, else NULL.

    A value counts when its known_at is not after the moment. A cell that waits before the step has no moment yet;
    all that the lake holds of it is known.
-#}
{% macro known_at(step, moment, column, known_at_column) -%}
    case when "{{ known_at_column }}" <= coalesce({{ moment }}, timestamp 'infinity') then "{{ column }}" end
{%- endmacro %}

{#- The view of a cell at the entry of a step; no target and nothing of this step or a later one is in it. -#}
{% macro cell_at(step) -%}
    {%- set before = cell_steps()[step] -%}
select
    cell_id,
    production_day,
    product_code,
    line_code,
    {% if before -%}
    coalesce({{ step }}_at, {{ before }}_known_at) as entered_at,
    {{ step }}_at is not null as is_entered,
    {%- else -%}
    {{ step }}_at as entered_at,
    {{ step }}_at is not null as is_entered,
    {%- endif %}
    {%- for column in site_plan().cell_at[step] %}
    {{ known_at(step, step ~ '_at', column.code, column.known_at) }} as "{{ column.code }}"{{ ',' if not loop.last }}
    {%- endfor %}
from {{ ref('cell') }}
    {%- if before %}
where {{ step }}_at is not null
    or ({{ before }}_known_at is not null and scrapped_step_code is null)
    {%- endif %}
{%- endmacro %}

{#-
    Cost from formation entry on, in US$ per cell (activity based): people and machines by the hours that the cell
    took of what is standard, energy at the tariff of its hours, retests, and the value lost with what is no A grade.
-#}
{% macro activity_usd(step) -%}
    {%- set cost = site_plan().cost -%}
    {%- set driver = cost.hours_drivers.get(step) -%}
    {{ cost.activity_usd_per_cell.get(step, 0.0) }}::double
    {%- if driver %} * coalesce("{{ driver.code }}" / {{ driver.nominal }}, 1.0){% endif %}
{%- endmacro %}

{% macro energy_usd(step, from_local, to_local) -%}
    {%- set cost = site_plan().cost -%}
    {%- set driver = cost.charge_drivers.get(step) -%}
    {{ cost.energy_kwh_per_cell.get(step, 0.0) }}::double * ({{ mean_tariff(from_local, to_local) }})
    {%- if driver %} * coalesce("{{ driver.code }}" / {{ driver.nominal }}, 1.0){% endif %}
{%- endmacro %}
