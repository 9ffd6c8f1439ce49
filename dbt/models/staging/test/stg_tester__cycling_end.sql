{{ config(feed='tester__cycling_end') }}

{{ stage('tester__cycling_end') }}
