{{ config(days='same_days', days_of=['stg_tester__cycling', 'stg_tester__cycling_curve']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
-- Names and formulas are those of the benchmark on the cells of Severson et al. 2019 (benchmarks/tables/severson_lfp.yaml).
with curve as (
    select
        pilot_cell_id,
        discharged_c100_ah - discharged_c10_ah as dq_ah
    from {{ ref('stg_tester__cycling_curve') }}
    where {{ in_days('production_day', days) }}
),

moved as (
    select
        pilot_cell_id,
        log10(nullif(var_samp(dq_ah), 0)) as dq_log10_var,
        log10(nullif(abs(avg(dq_ah)), 0)) as dq_log10_abs_mean,
        log10(nullif(abs(min(dq_ah)), 0)) as dq_log10_abs_min,
        skewness(dq_ah) as dq_skew,
        kurtosis_pop(dq_ah) + 3 as dq_kurt
    from curve
    group by pilot_cell_id
)

select
    test.pilot_cell_id,
    test.production_day,
    test.build_id,
    test.begun_at,
    test.event_at as cycled_at,
    test.negative_to_positive,
    test.charge_rate_c,
    test.chamber_temp_c,
    test.vinylene_carbonate_pct,
    test.cathode_moisture_ppm,
    test.first_cycle_efficiency_pct,
    test.capacity_c2_ah,
    test.capacity_c10_ah,
    test.capacity_c100_ah,
    test.capacity_c2_ah - test.capacity_c100_ah as capacity_lost_ah,
    test.low_soc_resistance_c10_mohm,
    test.low_soc_resistance_c100_mohm,
    test.charge_time_c10_s,
    test.charge_time_c100_s,
    test.cell_temp_mean_c,
    moved.dq_log10_var,
    moved.dq_log10_abs_mean,
    moved.dq_log10_abs_min,
    moved.dq_skew,
    moved.dq_kurt,
    test.known_at
from {{ ref('stg_tester__cycling') }} as test
left join moved on test.pilot_cell_id = moved.pilot_cell_id
where {{ in_days('test.production_day', days) }}
