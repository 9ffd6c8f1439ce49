{#- Production days that follow from new records further up; each gives a query with one column production_day. -#}

{#- Material lots: days of lots with a new record or a new laboratory result. -#}
{% macro material_lot_days() -%}
    select distinct production_day from {{ ref('stg_erp__material_lot') }}
    where material_lot_id in (
        select material_lot_id from {{ ref('stg_lims__material_result') }}
        where production_day in {{ days_since('stg_lims__material_result') }}
    )
    union select production_day from {{ days_since('stg_erp__material_lot') }}
{%- endmacro %}

{#- Ids of material lots with a new record or a new result. -#}
{% macro new_lots() -%}
    select material_lot_id from {{ ref('stg_erp__material_lot') }}
    where production_day in {{ days_since('stg_erp__material_lot') }}
    union select material_lot_id from {{ ref('stg_lims__material_result') }}
    where production_day in {{ days_since('stg_lims__material_result') }}
{%- endmacro %}

{#- Ids of slurry batches that are new, or whose lots are. -#}
{% macro new_batches() -%}
    select slurry_batch_id from {{ ref('stg_mes__slurry_batch') }}
    where production_day in {{ days_since('stg_mes__slurry_batch') }}
        or active_material_lot_id in ({{ new_lots() }})
    union select slurry_batch_id from {{ ref('stg_mes__batch_material') }}
    where production_day in {{ days_since('stg_mes__batch_material') }}
        or material_lot_id in ({{ new_lots() }})
{%- endmacro %}

{#- Ids of mother rolls that are new, or whose batch, foil, calendering or laboratory results are. -#}
{% macro new_mother_rolls() -%}
    select mother_roll_id from {{ ref('stg_mes__mother_roll') }}
    where production_day in {{ days_since('stg_mes__mother_roll') }}
        or slurry_batch_id in ({{ new_batches() }})
        or foil_lot_id in ({{ new_lots() }})
    union select mother_roll_id from {{ ref('stg_mes__calendering') }}
    where production_day in {{ days_since('stg_mes__calendering') }}
    union select mother_roll_id from {{ ref('stg_lims__roll_result') }}
    where production_day in {{ days_since('stg_lims__roll_result') }}
{%- endmacro %}

{#- Ids of daughter rolls that are new, or whose mother roll is. -#}
{% macro new_daughter_rolls() -%}
    select daughter_roll_id from {{ ref('stg_mes__daughter_roll') }}
    where production_day in {{ days_since('stg_mes__daughter_roll') }}
        or mother_roll_id in ({{ new_mother_rolls() }})
{%- endmacro %}

{#- Days of the rows of a staging model whose key is among the new ids; own days included. -#}
{% macro days_of_new(model, key, ids) -%}
    select distinct production_day from {{ ref(model) }} where {{ key }} in ({{ ids }})
    union select production_day from {{ days_since(model) }}
{%- endmacro %}

{#- Moments of mixing: new ones, and those of a batch with a new sample or of a new lot. -#}
{% macro mixing_moment_days() -%}
    select distinct production_day from {{ ref('stg_mes__mixing_moment') }}
    where slurry_batch_id in (
        select slurry_batch_id from {{ ref('stg_lims__mixing_sample') }}
        where production_day in {{ days_since('stg_lims__mixing_sample') }}
    )
    or active_material_lot_id in ({{ new_lots() }})
    union select production_day from {{ days_since('stg_mes__mixing_moment') }}
{%- endmacro %}

{% macro slurry_batch_days() -%}
    {{ days_of_new('stg_mes__slurry_batch', 'slurry_batch_id', new_batches()) }}
    union select distinct batch.production_day from {{ ref('stg_mes__slurry_batch') }} as batch
    inner join {{ ref('stg_mes__scrap') }} as scrap on batch.slurry_batch_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap') }}
{%- endmacro %}

{% macro mother_roll_days() -%}
    {{ days_of_new('stg_mes__mother_roll', 'mother_roll_id', new_mother_rolls()) }}
    union select distinct roll.production_day from {{ ref('stg_mes__mother_roll') }} as roll
    inner join {{ ref('stg_mes__scrap') }} as scrap on roll.mother_roll_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap') }}
{%- endmacro %}

{#- Stretches of foil: days of rolls that are new, and of those with a new splice. -#}
{% macro foil_stretch_days() -%}
    select distinct production_day from {{ ref('stg_mes__mother_roll') }}
    where mother_roll_id in (
        select mother_roll_id from {{ ref('stg_mes__foil_splice') }}
        where production_day in {{ days_since('stg_mes__foil_splice') }}
    )
    union select production_day from {{ days_since('stg_mes__mother_roll') }}
{%- endmacro %}

{% macro daughter_roll_days() -%}
    {{ days_of_new('stg_mes__daughter_roll', 'daughter_roll_id', new_daughter_rolls()) }}
    union select distinct roll.production_day from {{ ref('stg_mes__daughter_roll') }} as roll
    inner join {{ ref('stg_mes__scrap') }} as scrap on roll.daughter_roll_id = scrap.entity_id
    where scrap.production_day in {{ days_since('stg_mes__scrap') }}
{%- endmacro %}

{#- Leak tests: days with a new test, those of the test before it, which it settles, and those of new records of seams. -#}
{% macro leak_test_days() -%}
    select distinct production_day from {{ ref('stg_tester__leak_test') }}
    where cell_id in (
        select cell_id from {{ ref('stg_tester__leak_test') }}
        where test_no > 1 and production_day in {{ days_since('stg_tester__leak_test') }}
    )
    or cell_id in (
        select cell_id from {{ ref('stg_mes__assembly') }}
        where production_day in {{ days_since('stg_mes__assembly') }}
    )
    union select production_day from {{ days_since('stg_tester__leak_test') }}
{%- endmacro %}

{#- Days of formation channels: a channel's later days stand beside the earlier ones. -#}
{% macro formation_channel_days() -%}
    select distinct production_day from {{ ref('stg_tester__formation') }}
    where production_day >= (
        select min(production_day) from model_day where model = 'stg_tester__formation'
    )
    union select production_day from {{ days_since('stg_tester__formation') }}
{%- endmacro %}

{#- Hours of dry rooms: days with new hours, the day before, whose last hours they settle, and the day after. -#}
{% macro dry_room_hour_days() -%}
    select distinct production_day from {{ ref('stg_ems__dry_room_hour') }}
    where production_day in (
        select unnest([production_day - 1, production_day, production_day + 1])::date
        from {{ days_since('stg_ems__dry_room_hour') }}
        union {{ days_since('stg_ems__weather') }}
    )
    union select production_day from {{ days_since('stg_ems__dry_room_hour') }}
{%- endmacro %}

{#- Stacking days of all cells with a new record anywhere up their genealogy or later in their life. -#}
{% macro cell_days() -%}
    with lots as ({{ new_lots() }}),

    rolls as ({{ new_daughter_rolls() }}),

    cells as (
        {%- for model in ('stg_mes__assembly', 'stg_mes__filling', 'stg_tester__formation', 'stg_tester__ageing',
                          'stg_tester__grading', 'stg_mes__module') %}
        select cell_id from {{ ref(model) }} where production_day in {{ days_since(model) }}
        union
        {%- endfor %}
        select entity_id as cell_id from {{ ref('stg_mes__scrap') }}
        where production_day in {{ days_since('stg_mes__scrap') }}
        union select cell_id from {{ ref('stg_mes__assembly') }}
        where can_lot_id in (from lots) or cap_lot_id in (from lots)
        union select cell_id from {{ ref('stg_mes__filling') }} where electrolyte_lot_id in (from lots)
    )

    select distinct production_day from {{ ref('stg_mes__stacking') }}
    where cell_id in (from cells)
        or cathode_roll_id in (from rolls)
        or anode_roll_id in (from rolls)
        or separator_lot_id in (from lots)
    union select production_day from {{ days_since('stg_mes__stacking') }}
{%- endmacro %}

{#-
    Labels of machine hours: a new hour says that nothing failed in the 24 h before; a work order says what did, and all
    hours from its opening on may have waited for it to be closed.
-#}
{% macro machine_hour_label_days() -%}
    select distinct production_day from {{ ref('stg_historian__machine_hour') }}
    where production_day in (
        select unnest([production_day - 2, production_day - 1, production_day])::date
        from {{ days_since('stg_historian__machine_hour') }}
    )
    or production_day >= (
        select min(least(production_day, {{ production_day('opened_at') }})) - 2
        from {{ ref('stg_cmms__work_order') }}
        where production_day in {{ days_since('stg_cmms__work_order') }}
    )
    union select production_day from {{ days_since('stg_historian__machine_hour') }}
{%- endmacro %}

{#-
    Machine hours: days with new hours and the day after (rolling features reach back 24 h); and, since a work order
    counts until the next one, all days from the first new work order on.
-#}
{% macro machine_hour_days() -%}
    select distinct production_day from {{ ref('stg_historian__machine_hour') }}
    where production_day in (
        select unnest([production_day, production_day + 1])::date
        from {{ days_since('stg_historian__machine_hour') }}
    )
    or production_day >= (
        select min(least(production_day, {{ production_day('opened_at') }}))
        from {{ ref('stg_cmms__work_order') }}
        where production_day in {{ days_since('stg_cmms__work_order') }}
    )
    union select production_day from {{ days_since('stg_historian__machine_hour') }}
{%- endmacro %}

{#- KPIs of a day: of its cells, rolls, batches, machine states, energy and work orders. -#}
{% macro kpi_days() -%}
    select distinct production_day from model_day
    where model in ('cell', 'mother_roll', 'slurry_batch', 'machine_state_day', 'energy_interval')
    union
    select distinct {{ production_day('opened_at') }} from {{ ref('stg_cmms__work_order') }}
    where production_day in {{ days_since('stg_cmms__work_order') }}
{%- endmacro %}
