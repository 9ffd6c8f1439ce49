-- A material lot with the mean of its laboratory results, one column per characteristic of any material.
select
    lot.material_lot_id,
    lot.material_code,
    lot.supplier_code,
    lot.production_lot_code,
    lot.received_at,
    lot.quantity_kg,
    lot.event_at,
    lot.known_at,
    lot.production_day,
    result.result_count,
    result.result_known_at,
    {%- for row in site_plan().codes.lims__material_result %}
    result."{{ row.code }}",
    {%- endfor %}
    greatest(lot.known_at, result.result_known_at) as all_known_at
from {{ ref('stg_erp__material_lot') }} as lot
left join (
    select
        material_lot_id,
        {%- for row in site_plan().codes.lims__material_result %}
        avg(value order by sample_no) filter (where characteristic_code = '{{ row.code }}') as "{{ row.code }}",
        {%- endfor %}
        count(*) as result_count,
        max(known_at) as result_known_at
    from {{ ref('stg_lims__material_result') }}
    group by material_lot_id
) as result on lot.material_lot_id = result.material_lot_id
