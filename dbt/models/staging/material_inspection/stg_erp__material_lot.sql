{{ config(feed='erp__material_lot') }}

{{ stage('erp__material_lot') }}
