{{ config(feed='mes__slurry_batch') }}

{{ stage('mes__slurry_batch') }}
