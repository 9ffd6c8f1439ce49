{{ config(feed='lims__certificate_document') }}

{{ stage('lims__certificate_document') }}
