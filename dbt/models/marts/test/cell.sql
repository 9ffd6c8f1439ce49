{{ config(days='cell_days', days_from='stg_mes__stacking', partitioned=true) }}

{%- set plan = site_plan() %}
{%- set cost = plan.cost %}
{%- set days = rebuild_days('cell_days') %}
{%- set tested = tested_materials() %}

{{ rebuild_note(days) }}
with genealogy as (
    select
        mes__stacking.cell_id,
        {%- for material in plan.materials %}
        {{ cell_lot(material) }} as "{{ material }}_lot_id",
        {{ cell_lot_known_at(material) }} as "{{ material }}_lot_known_at"{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('stg_mes__stacking') }} as mes__stacking
    left join {{ ref('int_electrode_roll') }} as cathode_roll
        on mes__stacking.cathode_roll_id = cathode_roll.daughter_roll_id
    left join {{ ref('int_electrode_roll') }} as anode_roll
        on mes__stacking.anode_roll_id = anode_roll.daughter_roll_id
    left join {{ ref('stg_mes__assembly') }} as mes__assembly on mes__stacking.cell_id = mes__assembly.cell_id
    left join {{ ref('stg_mes__filling') }} as mes__filling on mes__stacking.cell_id = mes__filling.cell_id
    where {{ in_days('mes__stacking.production_day', days) }}
),

joined as (
    select
        mes__stacking.cell_id,
        mes__stacking.production_day,
        '{{ plan.product_code }}' as product_code,
        case mes__stacking.machine_id
            {%- for machine in plan.stackers %}
            when '{{ machine.machine_id }}' then '{{ machine.line }}'
            {%- endfor %}
        end as line_code,
        -- machines and positions
        cathode_roll.mixer_id as cathode_mixer_id,
        anode_roll.mixer_id as anode_mixer_id,
        cathode_roll.coater_id as cathode_coater_id,
        anode_roll.coater_id as anode_coater_id,
        cathode_roll.calender_id as cathode_calender_id,
        anode_roll.calender_id as anode_calender_id,
        cathode_roll.slitter_id as cathode_slitter_id,
        anode_roll.slitter_id as anode_slitter_id,
        cathode_roll.notcher_id as cathode_notcher_id,
        anode_roll.notcher_id as anode_notcher_id,
        cathode_roll.lane_no as cathode_lane_no,
        anode_roll.lane_no as anode_lane_no,
        cathode_roll.knife_id as cathode_knife_id,
        anode_roll.knife_id as anode_knife_id,
        mes__stacking.machine_id as stacker_id,
        mes__stacking.hot_press_id,
        mes__stacking.hipot_tester_id,
        mes__assembly.tab_welder_id,
        mes__assembly.seam_welder_id,
        mes__assembly.leak_tester_id,
        mes__filling.oven_id,
        mes__filling.bake_batch_id,
        mes__filling.filler_id,
        tester__formation.machine_id as formation_cabinet_id,
        tester__formation.tray_id as formation_tray_id,
        tester__formation.tray_position_no as formation_tray_position_no,
        tester__formation.channel_id as formation_channel_id,
        tester__ageing.tray_id as ageing_tray_id,
        tester__grading.machine_id as grading_cabinet_id,
        -- genealogy
        mes__stacking.cathode_roll_id,
        mes__stacking.anode_roll_id,
        cathode_roll.mother_roll_id as cathode_mother_roll_id,
        anode_roll.mother_roll_id as anode_mother_roll_id,
        least(
            {{ mother_metres('cathode_roll', 'mes__stacking.cathode_from_m') }},
            {{ mother_metres('cathode_roll', 'mes__stacking.cathode_to_m') }}
        ) as cathode_mother_from_m,
        greatest(
            {{ mother_metres('cathode_roll', 'mes__stacking.cathode_from_m') }},
            {{ mother_metres('cathode_roll', 'mes__stacking.cathode_to_m') }}
        ) as cathode_mother_to_m,
        least(
            {{ mother_metres('anode_roll', 'mes__stacking.anode_from_m') }},
            {{ mother_metres('anode_roll', 'mes__stacking.anode_to_m') }}
        ) as anode_mother_from_m,
        greatest(
            {{ mother_metres('anode_roll', 'mes__stacking.anode_from_m') }},
            {{ mother_metres('anode_roll', 'mes__stacking.anode_to_m') }}
        ) as anode_mother_to_m,
        cathode_roll.slurry_batch_id as cathode_batch_id,
        anode_roll.slurry_batch_id as anode_batch_id,
        cathode_roll.active_material_lot_id as cell_lot_id,
        {%- for material in plan.materials %}
        genealogy."{{ material }}_lot_id",
        {%- endfor %}
        {%- for material in tested %}
        lot_{{ material }}.supplier_code as "{{ material }}_supplier_code",
        {%- endfor %}
        module.module_id,
        module.rack_id,
        module.container_id,
        module.position_no as module_position_no,
        -- results of go and no-go tests
        mes__stacking.is_hipot_passed,
        mes__assembly.is_leak_passed,
        -- entry into steps
        greatest(cathode_roll.coating_at, anode_roll.coating_at) as coating_at,
        greatest(cathode_roll.calendering_at, anode_roll.calendering_at) as calendering_at,
        mes__stacking.started_at as stacking_at,
        case when mes__assembly.cell_id is not null
            then least(mes__stacking.known_at, mes__assembly.event_at) end as sealing_at,
        case when mes__filling.cell_id is not null
            then least(mes__assembly.known_at, mes__filling.event_at) end as baking_at,
        case when mes__filling.cell_id is not null
            then least(mes__assembly.known_at, mes__filling.event_at) end as filling_at,
        tester__formation.started_at as formation_at,
        case when tester__ageing.cell_id is not null
            then least(tester__formation.known_at, tester__ageing.event_at) end as ageing_at,
        case when tester__grading.cell_id is not null
            then least(tester__ageing.known_at, tester__grading.event_at) end as grading_at,
        case when module.cell_id is not null
            then least(tester__grading.known_at, module.event_at) end as module_at,
        tester__formation.event_at as formation_ended_at,
        tester__ageing.event_at as ageing_ended_at,
        -- characteristics
        {%- for column in plan.cell %}
        "{{ column.alias }}"."{{ column.column }}" as "{{ column.code }}",
        {%- endfor %}
        -- when it was known
        {%- for material in tested %}
        greatest(lot_{{ material }}.all_known_at, genealogy."{{ material }}_lot_known_at")
            as "{{ material }}_lims__material_result_known_at",
        {%- endfor %}
        {%- for electrode in ('cathode', 'anode') %}
        {%- for feed in ('mes__slurry_batch', 'mes__mother_roll', 'mes__calendering', 'mes__daughter_roll') %}
        {{ electrode }}_roll.{{ feed }}_known_at as "{{ electrode }}_{{ feed }}_known_at",
        {%- endfor %}
        {%- for name in plan.electrode.lims__roll_result %}
        {{ electrode }}_roll."{{ name }}_known_at" as "{{ electrode }}_{{ name }}_known_at",
        {%- endfor %}
        {%- endfor %}
        {%- for feed in ('mes__stacking', 'mes__assembly', 'mes__filling', 'tester__formation', 'tester__ageing',
                         'tester__grading') %}
        {{ feed }}.known_at as {{ feed }}_known_at,
        {%- endfor %}
        module.known_at as mes__module_known_at,
        -- outcome
        scrap.scrapped_step_code,
        scrap.scrapped_step_order,
        scrap.scrap_reason_code,
        scrap.scrapped_at,
        scrap.known_at as mes__scrap_known_at,
        tester__grading.grade_code,
        tester__grading.final_grade_code,
        coalesce(tester__grading.retest_count, 0) as retest_count,
        tester__grading.event_at as graded_at,
        tester__grading.final_known_at
    from {{ ref('stg_mes__stacking') }} as mes__stacking
    inner join genealogy on mes__stacking.cell_id = genealogy.cell_id
    left join {{ ref('int_electrode_roll') }} as cathode_roll
        on mes__stacking.cathode_roll_id = cathode_roll.daughter_roll_id
    left join {{ ref('int_electrode_roll') }} as anode_roll
        on mes__stacking.anode_roll_id = anode_roll.daughter_roll_id
    {%- for material in tested %}
    left join {{ ref('int_material_lot') }} as lot_{{ material }}
        on genealogy."{{ material }}_lot_id" = lot_{{ material }}.material_lot_id
    {%- endfor %}
    left join {{ ref('stg_mes__assembly') }} as mes__assembly on mes__stacking.cell_id = mes__assembly.cell_id
    left join {{ ref('stg_mes__filling') }} as mes__filling on mes__stacking.cell_id = mes__filling.cell_id
    left join {{ ref('stg_tester__formation') }} as tester__formation
        on mes__stacking.cell_id = tester__formation.cell_id
    left join {{ ref('stg_tester__ageing') }} as tester__ageing on mes__stacking.cell_id = tester__ageing.cell_id
    left join {{ ref('int_cell_grading') }} as tester__grading on mes__stacking.cell_id = tester__grading.cell_id
    left join {{ ref('stg_mes__module') }} as module on mes__stacking.cell_id = module.cell_id
    left join {{ ref('int_cell_scrap') }} as scrap on mes__stacking.cell_id = scrap.cell_id
    where {{ in_days('mes__stacking.production_day', days) }}
),

-- Local times once: the tariff and the shift ask for them many times over.
local_times as (
    select
        *,
        {{ local_time('stacking_at') }} as stacking_local,
        {{ local_time('formation_at') }} as formation_local,
        {{ local_time('coalesce(formation_ended_at, formation_at)') }} as formation_ended_local,
        {{ local_time('ageing_ended_at') }} as ageing_ended_local,
        {{ local_time('grading_at') }} as grading_local,
        {{ local_time('graded_at') }} as graded_local
    from joined
),

labelled as (
    select
        * exclude (scrapped_step_order),
        {{ shift_code('stacking_local') }} as shift_code,
        case
            when grade_code is not null then grade_code in ({{ literals(plan.grades.premium) }})
            when scrapped_step_order >= {{ step_order('formation') }} then false
        end as is_premium,
        case
            when grade_code is not null then tester__grading_known_at
            when scrapped_step_order >= {{ step_order('formation') }} then mes__scrap_known_at
        end as label_known_at
    from local_times
),

costed as (
    select
        *,
        {{ activity_usd('formation') }} + {{ activity_usd('degassing') }} as formation_usd,
        {{ energy_usd('formation', 'formation_local', 'formation_ended_local') }} as formation_energy_usd,
        case when ageing_ended_at is not null then {{ activity_usd('ageing') }} else 0.0 end as ageing_usd,
        case when ageing_ended_at is not null
            then {{ energy_usd('ageing', 'formation_ended_local', 'ageing_ended_local') }} else 0.0 end as ageing_energy_usd,
        case when graded_at is not null then {{ activity_usd('grading') }} else 0.0 end as grading_usd,
        case when graded_at is not null
            then {{ energy_usd('grading', 'grading_local', 'graded_local') }} else 0.0 end as grading_energy_usd,
        retest_count * {{ cost.retest_usd_per_cell }}::double as retest_usd,
        case
            when final_grade_code in ({{ literals(plan.grades.scrap) }}) then {{ cost.gathered_usd_per_cell.grading }}::double
            when final_grade_code in ({{ literals(plan.grades.premium) }}) and is_premium then 0.0
            when final_grade_code is not null
                then {{ cost.gathered_usd_per_cell.grading }}::double * {{ 1 - cost.b_grade_value_ratio }}
            when is_premium is not null then {{ by_step('scrapped_step_code', cost.gathered_usd_per_cell) }}
        end as loss_usd
    from labelled
)

select
    * exclude (
        stacking_local, formation_local, formation_ended_local, ageing_ended_local, grading_local, graded_local
    ),
    case when is_premium is not null and formation_at is not null
        then (
            formation_usd + formation_energy_usd + ageing_usd + ageing_energy_usd + grading_usd + grading_energy_usd
            + retest_usd + loss_usd
        ) / {{ cost.nominal_energy_kwh }} end as cost_to_come_usd_per_kwh,
    cast({{ cost.standard_to_come_usd_per_kwh }} as double) as standard_cost_to_come_usd_per_kwh,
    case when is_premium is not null and formation_at is not null
        then coalesce(greatest(label_known_at, final_known_at), label_known_at) end as cost_known_at
from costed
