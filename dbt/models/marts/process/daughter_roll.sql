{{ config(days='daughter_roll_days') }}

{%- set days = rebuild_days('daughter_roll_days') %}

{{ rebuild_note(days) }}
select
    roll.daughter_roll_id,
    roll.production_day,
    roll.electrode_code,
    roll.mother_roll_id,
    mother.slurry_batch_id,
    roll.lane_no,
    roll.from_m,
    roll.to_m,
    roll.to_m - roll.from_m as length_m,
    roll.is_flipped,
    roll.machine_id as slitter_id,
    roll.notcher_id,
    roll.knife_id,
    roll.event_at as ended_at,
    {%- for name in site_plan().electrode.mes__daughter_roll %}
    roll."{{ name }}",
    {%- endfor %}
    scrap.step_code as scrapped_step_code,
    roll.known_at as mes__daughter_roll_known_at
from {{ ref('stg_mes__daughter_roll') }} as roll
left join {{ ref('stg_mes__mother_roll') }} as mother on roll.mother_roll_id = mother.mother_roll_id
left join ({{ first_scrap('daughter_roll') }}) as scrap on roll.daughter_roll_id = scrap.entity_id
where {{ in_days('roll.production_day', days) }}
