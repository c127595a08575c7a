"""Every statement that reads for, or writes, a change of job, attempt and link rows."""
