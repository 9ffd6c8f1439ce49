{{ config(materialized='lake_view') }}

select
    daughter_roll.daughter_roll_id,
    daughter_roll.production_day,
    daughter_roll.electrode_code,
    daughter_roll.mother_roll_id,
    daughter_roll.slitter_id,
    daughter_roll.knife_id,
    daughter_roll.lane_no,
    daughter_roll.length_m,
    daughter_roll.ended_at,
    {{ seen_by('daughter_roll_in_slitting', 'daughter_roll.ended_at') }}
from {{ ref('daughter_roll') }} as daughter_roll
left join {{ ref('mother_roll') }} as mother_roll on daughter_roll.mother_roll_id = mother_roll.mother_roll_id
left join {{ ref('int_mother_roll_result') }} as roll_result on mother_roll.mother_roll_id = roll_result.mother_roll_id
{{ join_lots('daughter_roll_in_slitting', none, 'mother_roll.foil_lot_id') }}
