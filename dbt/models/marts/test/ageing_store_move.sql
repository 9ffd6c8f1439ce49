{{ config(days='same_days', days_of=['stg_wms__tray_move']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    tray_id,
    put_in_at,
    production_day,
    store_id,
    slot_code,
    taken_out_at,
    known_at
from {{ ref('stg_wms__tray_move') }}
where {{ in_days('production_day', days) }}
