{{ config(materialized='lake_view') }}

{{ cell_at('module') }}
