"""One module for each queue beside ours, all with the same functions.

`one(number)` queues a no-op job, alone; `many(count)` queues that many as fast as the queue can and
returns how many it were; `tell(number)` queues a job that notes its start (see benchmarks/starts.py).
Where the rows do not say when jobs began and ended, `done()` tells how many have succeeded. `install()`
makes tables that no migration makes. `HISTORY` has the statements that write finished and future rows.
"""
