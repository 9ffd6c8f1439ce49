{{ config(days='slurry_batch_days') }}

{%- set days = rebuild_days('slurry_batch_days') %}

{{ rebuild_note(days) }}
select
    batch.slurry_batch_id,
    batch.production_day,
    batch.electrode_code,
    batch.machine_id as mixer_id,
    {{ shift_code(local_time('batch.started_at')) }} as shift_code,
    batch.started_at,
    batch.event_at as ended_at,
    batch.active_material_lot_id,
    {%- for material in site_plan().materials %}
    lot."{{ material }}_lot_id",
    {%- endfor %}
    lot.material_lot_count,
    lot.material_mass_kg,
    {%- for name in site_plan().electrode.mes__slurry_batch %}
    batch."{{ name }}",
    {%- endfor %}
    scrap.step_code as scrapped_step_code,
    batch.known_at as mes__slurry_batch_known_at,
    lot.known_at as mes__batch_material_known_at
from {{ ref('stg_mes__slurry_batch') }} as batch
left join {{ ref('int_slurry_batch_lot') }} as lot on batch.slurry_batch_id = lot.slurry_batch_id
left join ({{ first_scrap('slurry_batch') }}) as scrap on batch.slurry_batch_id = scrap.entity_id
where {{ in_days('batch.production_day', days) }}
