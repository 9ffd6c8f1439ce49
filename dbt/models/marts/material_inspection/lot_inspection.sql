{{ config(days='lot_inspection_days') }}

{%- set days = rebuild_days('lot_inspection_days') %}

{{ rebuild_note(days) }}
select
    inspection.material_lot_id,
    inspection.attribute_code,
    inspection.production_day,
    lot.material_code,
    lot.supplier_code,
    inspection.lot_unit_count,
    inspection.inspected_count,
    inspection.nonconforming_count,
    inspection.event_at as inspected_at,
    inspection.known_at
from {{ ref('stg_lims__lot_inspection') }} as inspection
left join {{ ref('stg_erp__material_lot') }} as lot on inspection.material_lot_id = lot.material_lot_id
where {{ in_days('inspection.production_day', days) }}
