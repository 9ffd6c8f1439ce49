{{ config(days='mother_roll_days') }}

{%- set days = rebuild_days('mother_roll_days') %}
{%- set electrode = site_plan().electrode %}

{{ rebuild_note(days) }}
select
    roll.mother_roll_id,
    roll.production_day,
    roll.electrode_code,
    roll.slurry_batch_id,
    roll.foil_lot_id,
    batch.active_material_lot_id,
    roll.machine_id as coater_id,
    calendering.machine_id as calender_id,
    {{ shift_code(local_time('roll.started_at')) }} as shift_code,
    roll.started_at,
    roll.event_at as ended_at,
    calendering.event_at as calendered_at,
    roll.length_m,
    {%- for name in electrode.mes__mother_roll %}
    roll."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.lims__roll_result %}
    result."{{ name }}",
    {%- endfor %}
    {%- for name in electrode.mes__calendering %}
    calendering."{{ name }}",
    {%- endfor %}
    scrap.step_code as scrapped_step_code,
    roll.known_at as mes__mother_roll_known_at,
    result.known_at as lims__roll_result_known_at,
    calendering.known_at as mes__calendering_known_at
from {{ ref('stg_mes__mother_roll') }} as roll
left join {{ ref('stg_mes__slurry_batch') }} as batch on roll.slurry_batch_id = batch.slurry_batch_id
left join {{ ref('stg_mes__calendering') }} as calendering on roll.mother_roll_id = calendering.mother_roll_id
left join {{ ref('int_mother_roll_result') }} as result on roll.mother_roll_id = result.mother_roll_id
left join ({{ first_scrap('mother_roll') }}) as scrap on roll.mother_roll_id = scrap.entity_id
where {{ in_days('roll.production_day', days) }}
