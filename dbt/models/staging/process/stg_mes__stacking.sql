{{ config(feed='mes__stacking') }}

{{ stage('mes__stacking') }}
