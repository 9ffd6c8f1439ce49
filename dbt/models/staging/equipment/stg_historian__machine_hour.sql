{{ config(feed='historian__machine_hour') }}

{{ stage('historian__machine_hour') }}
