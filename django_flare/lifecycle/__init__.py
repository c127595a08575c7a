"""The rules: what may happen to a job, decided and carried out in one transaction each."""
