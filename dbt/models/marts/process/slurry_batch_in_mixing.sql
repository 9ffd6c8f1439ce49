{{ config(materialized='lake_view') }}

with last_moment as (
    select moment.*
    from {{ ref('stg_mes__mixing_moment') }} as moment
    inner join {{ ref('slurry_batch') }} as batch on moment.slurry_batch_id = batch.slurry_batch_id
    where moment.known_at <= batch.ended_at
    qualify row_number() over (partition by moment.slurry_batch_id order by moment.minute_no desc) = 1
)

select
    slurry_batch.slurry_batch_id,
    slurry_batch.production_day,
    slurry_batch.electrode_code,
    slurry_batch.mixer_id,
    slurry_batch.shift_code,
    slurry_batch.active_material_lot_id,
    slurry_batch.started_at,
    slurry_batch.ended_at,
    {{ seen_by('slurry_batch_in_mixing', 'slurry_batch.ended_at') }}
from {{ ref('slurry_batch') }} as slurry_batch
left join last_moment on slurry_batch.slurry_batch_id = last_moment.slurry_batch_id -- noqa: ST11
{{ join_lots('slurry_batch_in_mixing', 'slurry_batch') }}
