{{ config(days='same_days', days_of=['kpi_day']) }}

{%- set days = rebuild_days('same_days') %}
{%- set cost = site_plan().cost %}

{{ rebuild_note(days) }}
with day as (
    select
        production_day,
        {{ utc_time('(production_day + 1)::timestamp + to_seconds(' ~ site_plan().day_start_s ~ ')') }} as ended_at
    from {{ ref('kpi_day') }}
    where {{ in_days('production_day', days) }}
),

-- As decimals, whose sums don't depend on their order.
energy as (
    select
        production_day,
        step_code,
        sum(energy_kwh::decimal(18, 6))::double as energy_kwh,
        sum(energy_cost_usd::decimal(18, 6))::double as energy_cost_usd
    from {{ ref('energy_interval') }}
    where {{ in_days('production_day', days) }}
    group by production_day, step_code
),

work_order as (
    select
        {{ production_day('opened.opened_at') }} as production_day,
        machine.step_code,
        count(*) as work_order_count,
        sum({{ by_step('opened.type_code', cost.work_order_usd) }}) as work_order_cost_usd
    from {{ ref('stg_cmms__work_order') }} as opened
    inner join ({{ machine_dimension() }}) as machine on opened.machine_id = machine.machine_id
    group by all
),

lost as (
    select
        production_day,
        'grading' as step_code,
        {{ cost.lost_material_usd_per_cell.grading }}::double as lost_usd
    from {{ ref('cell') }}
    where final_grade_code in ({{ literals(site_plan().grades.scrap) }})
    union all
    select
        production_day,
        scrapped_step_code as step_code,
        {{ by_step('scrapped_step_code', cost.lost_material_usd_per_cell) }} as lost_usd
    from {{ ref('cell') }}
    where final_grade_code is null and scrapped_step_code is not null
    union all
    select
        production_day,
        scrapped_step_code as step_code,
        length_m * {{ by_step('electrode_code', cost.lost_roll_usd_per_m) }} as lost_usd
    from {{ ref('mother_roll') }}
    where scrapped_step_code is not null
    union all
    select
        production_day,
        scrapped_step_code as step_code,
        coalesce(material_mass_kg, 0) * {{ by_step('electrode_code', cost.lost_slurry_usd_per_kg) }} as lost_usd
    from {{ ref('slurry_batch') }}
    where scrapped_step_code is not null
),

scrap as (
    select
        production_day,
        step_code,
        sum(lost_usd::decimal(18, 6))::double as scrap_material_cost_usd
    from lost
    where {{ in_days('production_day', days) }}
    group by production_day, step_code
)

select
    day.production_day,
    step.step_code,
    day.ended_at,
    coalesce(energy.energy_kwh, 0) as energy_kwh,
    coalesce(work_order.work_order_count, 0) as work_order_count,
    step.conversion_share,
    coalesce(energy.energy_cost_usd, 0) as energy_cost_usd,
    coalesce(work_order.work_order_cost_usd, 0)::double as work_order_cost_usd,
    coalesce(scrap.scrap_material_cost_usd, 0) as scrap_material_cost_usd,
    step.standard_cost_usd_per_kwh
from day
cross join ({{ step_standards() }}) as step
left join energy on day.production_day = energy.production_day and step.step_code = energy.step_code
left join work_order on day.production_day = work_order.production_day and step.step_code = work_order.step_code
left join scrap on day.production_day = scrap.production_day and step.step_code = scrap.step_code
