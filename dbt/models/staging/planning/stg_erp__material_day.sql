{{ config(feed='erp__material_day') }}

{{ stage('erp__material_day') }}
