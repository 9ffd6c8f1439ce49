{{ config(feed='tester__cycling_curve') }}

{{ stage('tester__cycling_curve') }}
