{{ config(feed='tester__grading') }}

{{ stage('tester__grading') }}
