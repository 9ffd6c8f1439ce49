{{ config(days='lot_characteristic_days') }}

{%- set days = rebuild_days('lot_characteristic_days') %}

{{ rebuild_note(days) }}
-- Every characteristic that the plan has of a lot's material: what its certificate says and what our laboratory found.
with planned as (
    select * from ({{ material_limits() }})
),

certified as (
    select
        certificate.material_lot_id,
        certificate.characteristic_code,
        certificate.certified_value * unit.factor as certified_value,
        certificate.certified_unit_code,
        certificate.known_at
    from {{ ref('stg_lims__certificate') }} as certificate
    left join ({{ unit_factors('lims__material_result') }}) as unit
        on certificate.characteristic_code = unit.characteristic_code
        and certificate.certified_unit_code = unit.given_unit_code
),

measured as (
    select
        material_lot_id,
        characteristic_code,
        avg(value order by sample_no) as measured_value,
        max(known_at) as known_at
    from {{ ref('stg_lims__material_result') }}
    group by material_lot_id, characteristic_code
),

joined as (
    select
        lot.material_lot_id,
        planned.characteristic_code,
        lot.production_day,
        lot.material_code,
        lot.supplier_code,
        lot.supplier_code || '/' || planned.characteristic_code as series_code,
        lot.received_at,
        planned.unit_code,
        planned.lsl,
        planned.usl,
        planned.gauge_sd,
        planned.sigma,
        certified.certified_value,
        certified.certified_unit_code,
        measured.measured_value,
        lot.known_at,
        certified.known_at as lims__certificate_known_at,
        measured.known_at as lims__material_result_known_at
    from {{ ref('stg_erp__material_lot') }} as lot
    inner join planned on lot.material_code = planned.material_code
    left join certified
        on lot.material_lot_id = certified.material_lot_id
        and planned.characteristic_code = certified.characteristic_code
    left join measured
        on lot.material_lot_id = measured.material_lot_id
        and planned.characteristic_code = measured.characteristic_code
),

-- What of the same supplier was known before; as decimals, whose sums don't depend on their order.
earlier as (
    select
        material_lot_id,
        characteristic_code,
        count(*) over past as lots,
        sum(measured_value::decimal(18, 6)) over past as summed
    from joined
    where measured_value is not null
    window past as (
        partition by series_code
        order by lims__material_result_known_at, material_lot_id
        rows between unbounded preceding and 1 preceding
    )
),

told as (
    select
        joined.*,
        -- Quesenberry's Q for an unknown mean and a known spread: standard normal while the supplier does not change.
        (joined.measured_value - earlier.summed::double / earlier.lots)
        / joined.sigma * sqrt(earlier.lots / (earlier.lots + 1)) as deviation_sigma
    from joined
    left join earlier
        on joined.material_lot_id = earlier.material_lot_id
        and joined.characteristic_code = earlier.characteristic_code
        and earlier.lots > 0
    where {{ in_days('joined.production_day', days) }}
)

select * exclude (sigma)
from told
