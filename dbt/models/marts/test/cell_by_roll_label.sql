{{ config(materialized='lake_view') }}

{%- set cost = site_plan().cost %}

-- Cells that formation lost are past: what they cost was spent before ageing.
with aged as (
    select
        cathode_mother_roll_id as mother_roll_id,
        production_day,
        cost_known_at,
        case when cost_known_at is not null
            then (
                ageing_usd + ageing_energy_usd + grading_usd + grading_energy_usd + retest_usd + loss_usd
            ) / {{ cost.nominal_energy_kwh }} end as cost_from_ageing_usd_per_kwh
    from {{ ref('cell') }}
    where cathode_mother_roll_id is not null
        and (ageing_at is not null or (tester__formation_known_at is not null and scrapped_step_code is null))
),

rolls as (
    select
        mother_roll_id,
        min(production_day) as production_day,
        count(*) as cell_count,
        avg(cost_from_ageing_usd_per_kwh) as cost_from_ageing_usd_per_kwh,
        max(cost_known_at) as cost_known_at,
        -- A record that is lost for good must not leave its roll without an answer.
        count(cost_known_at) >= 0.95 * count(*) as is_known
    from aged
    group by mother_roll_id
)

select
    mother_roll_id,
    production_day,
    cell_count,
    case when is_known then cost_from_ageing_usd_per_kwh end as cost_from_ageing_usd_per_kwh,
    cast({{ cost.standard_from_ageing_usd_per_kwh }} as double) as standard_cost_from_ageing_usd_per_kwh,
    case when is_known then cost_known_at end as cost_known_at
from rolls
