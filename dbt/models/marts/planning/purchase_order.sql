{{ config(days='same_days', days_of=['stg_erp__purchase_order']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    purchase_order_id,
    production_day,
    material_code,
    supplier_code,
    ordered_at,
    promised_at,
    delivered_at,
    quantity_kg,
    price_usd_per_kg,
    first_known_at,
    known_at
from {{ ref('stg_erp__purchase_order') }}
where {{ in_days('production_day', days) }}
