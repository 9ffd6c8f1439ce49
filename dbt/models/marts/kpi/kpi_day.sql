{{ config(days='kpi_days') }}

{%- set days = rebuild_days('kpi_days') %}
{%- set cost = site_plan().cost %}

{{ rebuild_note(days) }}
-- Cells of the stacking day. Its cohort is complete when the fate of (nearly) all of them is known: a record that
-- never comes must not hold back the KPI for ever.
with cohort as (
    select
        production_day,
        count(*) as cells_stacked,
        count(*) filter (where is_premium is not null or scrapped_step_code is not null) as cells_resolved,
        count(*) filter (where grade_code is not null) as cells_graded,
        count(*) filter (where is_premium) as cells_premium,
        count(*) filter (where scrapped_step_code is not null and grade_code is null) as cells_scrapped,
        count(*) filter (where final_grade_code in ({{ literals(site_plan().grades.scrap) }})) as cells_graded_scrap,
        sum((case
            when final_grade_code in ({{ literals(site_plan().grades.scrap) }})
                then {{ cost.lost_material_usd_per_cell.grading }}
            when final_grade_code is null and scrapped_step_code is not null
                then {{ by_step('scrapped_step_code', cost.lost_material_usd_per_cell) }}
            else 0.0
        end)::decimal(18, 6))::double as cell_scrap_cost_usd
    from {{ ref('cell') }}
    where {{ in_days('production_day', days) }}
    group by production_day
),

-- Mother rolls and batches that no cell is made of: a cost of the day on which they were made.
electrode_scrap as (
    select production_day, sum(lost_usd::decimal(18, 6))::double as scrap_cost_usd
    from (
        select production_day, length_m * {{ by_step('electrode_code', cost.lost_roll_usd_per_m) }} as lost_usd
        from {{ ref('mother_roll') }}
        where scrapped_step_code is not null
        union all
        select
            production_day,
            coalesce(material_mass_kg, 0) * {{ by_step('electrode_code', cost.lost_slurry_usd_per_kg) }} as lost_usd
        from {{ ref('slurry_batch') }}
        where scrapped_step_code is not null
    )
    where {{ in_days('production_day', days) }}
    group by production_day
),

bottleneck as (
    select
        production_day,
        sum(execute_s::decimal(18, 6))::double / nullif(sum(planned_busy_s::decimal(18, 6))::double, 0) as availability,
        sum(produced_count) / nullif(sum((execute_s / 3600 * ideal_rate_per_h)::decimal(18, 6))::double, 0) as performance
    from {{ ref('machine_state_day') }}
    where is_in_oee and step_code = '{{ bottleneck_step() }}' and {{ in_days('production_day', days) }}
    group by production_day
),

step_quality as (
    select
        state.production_day,
        state.step_code,
        sum(state.good_count) / nullif(sum(state.produced_count), 0) as quality
    from {{ ref('machine_state_day') }} as state
    inner join ({{ oee_machines() }}) as oee on state.machine_id = oee.machine_id
    where oee.rate_unit = 'cell' and {{ in_days('state.production_day', days) }}
    group by state.production_day, state.step_code
),

line_quality as (
    -- In a fixed order: a product of floats depends on it in the last bit, and a rebuild must give the same row.
    -- A step that made nothing that day, as grading in a plant's first days, says nothing about quality.
    select production_day, product(quality order by step_code) as quality
    from step_quality
    where quality is not null
    group by production_day
),

energy as (
    select
        production_day,
        sum(energy_kwh::decimal(18, 6))::double as energy_kwh,
        sum(energy_cost_usd::decimal(18, 6))::double as energy_cost_usd
    from {{ ref('energy_interval') }}
    where {{ in_days('production_day', days) }}
    group by production_day
),

-- The demand charge is due on the month's highest mean power; a day carries its share of its own highest hour.
demand as (
    select production_day, max(power_kw) as peak_kw
    from (
        select
            production_day,
            date_trunc('hour', interval_at) as hour_at,
            sum(energy_kwh::decimal(18, 6))::double as power_kw
        from {{ ref('energy_interval') }}
        where {{ in_days('production_day', days) }}
        group by all
    )
    group by production_day
),

work_order as (
    select
        {{ production_day('opened_at') }} as production_day,
        sum({{ by_step('type_code', cost.work_order_usd) }}) as work_order_cost_usd
    from {{ ref('stg_cmms__work_order') }}
    group by {{ production_day('opened_at') }}
),

costed as (
    select
        cohort.*,
        cohort.cells_resolved >= 0.98 * cohort.cells_stacked as is_cohort_complete,
        bottleneck.availability,
        least(bottleneck.performance, 1.0) as performance,
        bottleneck.performance as performance_uncapped,
        line_quality.quality,
        -- Without a meter's record nobody knows what the day drew, and what follows from it stays empty: as 0 it would
        -- make the day look cheap.
        energy.energy_kwh,
        {{ cost.daily_usd }}::double as fixed_cost_usd,
        cohort.cells_stacked * {{ cost.consumables_usd_per_cell }}::double as consumables_cost_usd,
        coalesce(work_order.work_order_cost_usd, 0)::double as work_order_cost_usd,
        energy.energy_cost_usd,
        (demand.peak_kw * {{ cost.demand_usd_per_kw_month }} * 12 / 365)::double as demand_cost_usd,
        cohort.cell_scrap_cost_usd + coalesce(electrode_scrap.scrap_cost_usd, 0) as scrap_material_cost_usd
    from cohort
    left join bottleneck on cohort.production_day = bottleneck.production_day
    left join line_quality on cohort.production_day = line_quality.production_day
    left join energy on cohort.production_day = energy.production_day
    left join demand on cohort.production_day = demand.production_day
    left join electrode_scrap on cohort.production_day = electrode_scrap.production_day
    left join work_order on cohort.production_day = work_order.production_day
),

totalled as (
    select
        *,
        fixed_cost_usd + consumables_cost_usd + work_order_cost_usd + energy_cost_usd + demand_cost_usd
        + scrap_material_cost_usd as total_cost_usd,
        cells_premium * {{ cost.nominal_energy_kwh }}::double as premium_kwh
    from costed
)

select
    * exclude (cell_scrap_cost_usd),
    availability * performance * quality as oee,
    case when is_cohort_complete then cells_premium / cells_resolved end as premium_ratio,
    case when is_cohort_complete then cells_premium / nullif(cells_graded, 0) end as premium_of_graded_ratio,
    case when is_cohort_complete then total_cost_usd / nullif(premium_kwh, 0) end as conversion_cost_usd_per_kwh,
    case when is_cohort_complete
        then (total_cost_usd - scrap_material_cost_usd) / nullif(premium_kwh, 0)
    end as conversion_cost_without_scrap_usd_per_kwh,
    case when is_cohort_complete then premium_kwh end as throughput_kwh_per_day,
    case when is_cohort_complete then energy_kwh / nullif(premium_kwh, 0) end as energy_kwh_per_kwh
from totalled
