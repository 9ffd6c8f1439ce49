{{ config(days='material_lot_days') }}

{%- set days = rebuild_days('material_lot_days') %}

{{ rebuild_note(days) }}
select
    material_lot_id,
    production_day,
    material_code,
    supplier_code,
    production_lot_code,
    received_at,
    quantity_kg,
    {%- for row in site_plan().codes.lims__material_result %}
    "{{ row.code }}",
    {%- endfor %}
    result_count,
    known_at as erp__material_lot_known_at,
    result_known_at as lims__material_result_known_at
from {{ ref('int_material_lot') }}
where {{ in_days('production_day', days) }}
