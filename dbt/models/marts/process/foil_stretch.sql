{{ config(days='foil_stretch_days') }}

{%- set days = rebuild_days('foil_stretch_days') %}

{{ rebuild_note(days) }}
-- A roll begins with the lot that its own record names, and goes on with another one after each splice. Its two ends are
-- left open, so that whatever was cut from it has a lot.
with begun as (
    select
        mother_roll_id,
        production_day,
        electrode_code,
        foil_lot_id,
        null::double as spliced_from_m,
        known_at
    from {{ ref('stg_mes__mother_roll') }}
    where {{ in_days('production_day', days) }}
    union all
    select
        splice.mother_roll_id,
        roll.production_day,
        roll.electrode_code,
        splice.begun_lot_id as foil_lot_id,
        splice.at_m as spliced_from_m,
        splice.known_at
    from {{ ref('stg_mes__foil_splice') }} as splice
    inner join {{ ref('stg_mes__mother_roll') }} as roll on splice.mother_roll_id = roll.mother_roll_id
    where {{ in_days('roll.production_day', days) }}
)

select
    mother_roll_id,
    (row_number() over of_roll)::integer as stretch_no,
    production_day,
    electrode_code,
    foil_lot_id,
    spliced_from_m,
    lead(spliced_from_m) over of_roll as spliced_to_m,
    greatest(known_at, lead(known_at) over of_roll) as known_at
from begun
window of_roll as (partition by mother_roll_id order by spliced_from_m nulls first)
