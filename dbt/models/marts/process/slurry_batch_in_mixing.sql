{{ config(materialized='lake_view') }}

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
{{ join_lots('slurry_batch_in_mixing', 'slurry_batch') }}
