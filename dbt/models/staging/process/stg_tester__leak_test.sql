{{ config(feed='tester__leak_test') }}

{{ stage('tester__leak_test') }}
