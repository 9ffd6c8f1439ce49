-- The first grading of each cell, which decides whether it is premium, and what came of a retest.
select
    first_test.*,
    last_test.grade_code as final_grade_code,
    last_test.test_no - 1 as retest_count,
    last_test.known_at as final_known_at
from {{ ref('stg_tester__grading') }} as first_test
inner join (
    select
        cell_id,
        max(test_no) as test_no,
        max_by(grade_code, test_no) as grade_code,
        max_by(known_at, test_no) as known_at
    from {{ ref('stg_tester__grading') }}
    group by cell_id
) as last_test on first_test.cell_id = last_test.cell_id
where first_test.test_no = 1
