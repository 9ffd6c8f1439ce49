{{ config(days='same_days', days_of=['stg_erp__customer_order']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    order_id,
    production_day,
    product_code,
    ordered_at,
    due_at,
    quantity_cells,
    quantity_kwh,
    known_at
from {{ ref('stg_erp__customer_order') }}
where {{ in_days('production_day', days) }}
