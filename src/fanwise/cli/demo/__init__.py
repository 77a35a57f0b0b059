"""`fanwise demo`: one flaky job, three times, against the same faults."""
