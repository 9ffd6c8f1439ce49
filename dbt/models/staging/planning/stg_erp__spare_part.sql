{{ config(feed='erp__spare_part') }}

{{ stage('erp__spare_part') }}
