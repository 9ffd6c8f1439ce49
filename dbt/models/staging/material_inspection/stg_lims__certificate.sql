{{ config(feed='lims__certificate') }}

{{ stage('lims__certificate') }}
