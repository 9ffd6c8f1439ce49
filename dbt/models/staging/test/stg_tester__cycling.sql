{{ config(feed='tester__cycling') }}

{{ stage('tester__cycling') }}
