{#- Production days that follow from new records further up; each gives a query with one column production_day. -#}

{#- Material lots: days of lots with a new record or a new laboratory result. -#}
{% macro material_lot_days(build_no) -%}
    select distinct production_day from {{ ref('stg_erp__material_lot') }}
    where material_lot_id in (
        select material_lot_id from {{ ref('stg_lims__material_result') }}
        where production_day in {{ days_since('stg_lims__material_result', build_no) }}
    )
    union select production_day from {{ days_since('stg_erp__material_lot', build_no) }}
{%- endmacro %}

{#- Ids of material lots with a new record or a new result. -#}
{% macro new_lots(build_no) -%}
    select material_lot_id from {{ ref('stg_erp__material_lot') }}
    where production_day in {{ days_since('stg_erp__material_lot', build_no) }}
    union select material_lot_id from {{ ref('stg_lims__material_result') }}
    where production_day in {{ days_since('stg_lims__material_result', build_no) }}
{%- endmacro %}

{#- Ids of slurry batches that are new, or whose lots are. -#}
{% macro new_batches(build_no) -%}
    select slurry_batch_id from {{ ref('stg_mes__slurry_batch') }}
    where production_day in {{ days_since('stg_mes__slurry_batch', build_no) }}
        or active_material_lot_id in ({{ new_lots(build_no) }})
    union select slurry_batch_id from {{ ref('stg_mes__batch_material') }}
    where production_day in {{ days_since('stg_mes__batch_material', build_no) }}
        or material_lot_id in ({{ new_lots(build_no) }})
{%- endmacro %}

{#- Ids of mother rolls that are new, or whose batch, foil, calendering or laboratory results are. -#}
{% macro new_mother_rolls(build_no) -%}
    select mother_roll_id from {{ ref('stg_mes__mother_roll') }}
    where production_day in {{ days_since('stg_mes__mother_roll', build_no) }}
        or slurry_batch_id in ({{ new_batches(build_no) }})
        or foil_lot_id in ({{ new_lots(build_no) }})
    union select mother_roll_id from {{ ref('stg_mes__calendering') }}
    where production_day in {{ days_since('stg_mes__calendering', build_no) }}
    union select mother_roll_id from {{ ref('stg_lims__roll_result') }}
    where production_day in {{ days_since('stg_lims__roll_result', build_no) }}
{%- endmacro %}

{#- Ids of daughter rolls that are new, or whose mother roll is. -#}
{% macro new_daughter_rolls(build_no) -%}
    select daughter_roll_id from {{ ref('stg_mes__daughter_roll') }}
    where production_day in {{ days_since('stg_mes__daughter_roll', build_no) }}
        or mother_roll_id in ({{ new_mother_rolls(build_no) }})
{%- endmacro %}

{#- Days of the rows of a staging model whose key is among the new ids; own days included. -#}
{% macro days_of_new(model, key, ids, build_no) -%}
    select distinct production_day from {{ ref(model) }} where {{ key }} in ({{ ids }})
    union select production_day from {{ days_since(model, build_no) }}
{%- endmacro %}

{% macro slurry_batch_days(build_no) -%}
    {{ days_of_new('stg_mes__slurry_batch', 'slurry_batch_id', new_batches(build_no), build_no) }}
    union select distinct batch.production_day from {{ ref('stg_mes__slurry_batch') }} as batch
    inner join {{ ref('stg_mes__scrap') }} as scrap on batch.slurry_batch_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap', build_no) }}
{%- endmacro %}

{% macro mother_roll_days(build_no) -%}
    {{ days_of_new('stg_mes__mother_roll', 'mother_roll_id', new_mother_rolls(build_no), build_no) }}
    union select distinct roll.production_day from {{ ref('stg_mes__mother_roll') }} as roll
    inner join {{ ref('stg_mes__scrap') }} as scrap on roll.mother_roll_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap', build_no) }}
{%- endmacro %}

{% macro daughter_roll_days(build_no) -%}
    {{ days_of_new('stg_mes__daughter_roll', 'daughter_roll_id', new_daughter_rolls(build_no), build_no) }}
    union select distinct roll.production_day from {{ ref('stg_mes__daughter_roll') }} as roll
    inner join {{ ref('stg_mes__scrap') }} as scrap on roll.daughter_roll_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap', build_no) }}
{%- endmacro %}

{#- Stacking days of all cells with a new record anywhere up their genealogy or later in their life. -#}
{% macro cell_days(build_no) -%}
    with lots as ({{ new_lots(build_no) }}),

    rolls as ({{ new_daughter_rolls(build_no) }}),

    cells as (
        {%- for model in ('stg_mes__assembly', 'stg_mes__filling', 'stg_tester__formation', 'stg_tester__ageing',
                          'stg_tester__grading', 'stg_mes__module') %}
        select cell_id from {{ ref(model) }} where production_day in {{ days_since(model, build_no) }}
        union
        {%- endfor %}
        select entity_id as cell_id from {{ ref('stg_mes__scrap') }}
        where production_day in {{ days_since('stg_mes__scrap', build_no) }}
        union select cell_id from {{ ref('stg_mes__assembly') }}
        where can_lot_id in (from lots) or cap_lot_id in (from lots)
        union select cell_id from {{ ref('stg_mes__filling') }} where electrolyte_lot_id in (from lots)
    )

    select distinct production_day from {{ ref('stg_mes__stacking') }}
    where cell_id in (from cells)
        or cathode_roll_id in (from rolls)
        or anode_roll_id in (from rolls)
        or separator_lot_id in (from lots)
    union select production_day from {{ days_since('stg_mes__stacking', build_no) }}
{%- endmacro %}

{#- Labels of machine hours: a new hour says that nothing failed in the 24 h before; a work order says what did. -#}
{% macro machine_hour_label_days(build_no) -%}
    select distinct production_day from {{ ref('stg_historian__machine_hour') }}
    where production_day in (
        select unnest([production_day - 2, production_day - 1, production_day])::date
        from {{ days_since('stg_historian__machine_hour', build_no) }}
        union
        select unnest(generate_series(
            {{ production_day('opened_at') }}::timestamp - interval 2 day,
            coalesce(closed_at, opened_at) + interval 1 day,
            interval 1 day
        ))::date
        from {{ ref('stg_cmms__work_order') }}
        where production_day in {{ days_since('stg_cmms__work_order', build_no) }}
    )
    union select production_day from {{ days_since('stg_historian__machine_hour', build_no) }}
{%- endmacro %}

{#-
    Machine hours: days with new hours and the day after (rolling features reach back 24 h); and, since a work order
    counts until the next one, all days from the first new work order on.
-#}
{% macro machine_hour_days(build_no) -%}
    select distinct production_day from {{ ref('stg_historian__machine_hour') }}
    where production_day in (
        select unnest([production_day, production_day + 1])::date
        from {{ days_since('stg_historian__machine_hour', build_no) }}
    )
    or production_day >= (
        select min(least(production_day, {{ production_day('opened_at') }}))
        from {{ ref('stg_cmms__work_order') }}
        where production_day in {{ days_since('stg_cmms__work_order', build_no) }}
    )
    union select production_day from {{ days_since('stg_historian__machine_hour', build_no) }}
{%- endmacro %}

{#- KPIs of a day: of its cells, machine states, energy and work orders. -#}
{% macro kpi_days(build_no) -%}
    select distinct production_day from lake.ops.model_day
    where build_no > {{ build_no }}
        and model in ('cell', 'machine_state_day', 'energy_interval')
    union
    select distinct {{ production_day('opened_at') }} from {{ ref('stg_cmms__work_order') }}
    where production_day in {{ days_since('stg_cmms__work_order', build_no) }}
{%- endmacro %}
