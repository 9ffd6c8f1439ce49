{{ config(feed='scada__machine_state') }}

{{ stage('scada__machine_state') }}
