{{ config(materialized='lake_view') }}

select
    mother_roll.mother_roll_id,
    mother_roll.production_day,
    mother_roll.electrode_code,
    mother_roll.slurry_batch_id,
    mother_roll.foil_lot_id,
    mother_roll.active_material_lot_id,
    mother_roll.coater_id,
    mother_roll.shift_code,
    mother_roll.started_at,
    mother_roll.ended_at,
    mother_roll.length_m,
    {{ seen_by('mother_roll_in_drying', 'mother_roll.ended_at') }}
from {{ ref('mother_roll') }} as mother_roll
left join {{ ref('slurry_batch') }} as slurry_batch on mother_roll.slurry_batch_id = slurry_batch.slurry_batch_id
{{ join_lots('mother_roll_in_drying', 'slurry_batch', 'mother_roll.foil_lot_id') }}
