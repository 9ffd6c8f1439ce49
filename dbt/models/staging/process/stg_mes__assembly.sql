{{ config(feed='mes__assembly') }}

{{ stage('mes__assembly') }}
