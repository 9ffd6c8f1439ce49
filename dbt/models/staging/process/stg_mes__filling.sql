{{ config(feed='mes__filling') }}

{{ stage('mes__filling') }}
