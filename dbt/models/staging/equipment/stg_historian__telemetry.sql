{{ config(materialized='series_by_day', feed='historian__telemetry', partitioned=true) }}

{{ stage_series('historian__telemetry') }}
