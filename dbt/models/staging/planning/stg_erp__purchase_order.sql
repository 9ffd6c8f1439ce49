{{ config(feed='erp__purchase_order') }}

{{ stage('erp__purchase_order') }}
