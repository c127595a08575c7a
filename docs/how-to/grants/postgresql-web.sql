GRANT SELECT, INSERT ON django_flare_job TO shop_web;
-- For continue_with and idempotency keys: PostgreSQL lets nobody lock a row, not even for sharing, who may
-- update none of its columns. By this one nothing is decided; the admin shows it.
GRANT UPDATE (first_started_at) ON django_flare_job TO shop_web;
-- For continue_with.
GRANT SELECT, INSERT ON django_flare_continuation TO shop_web;
-- For continue_with after a parent that is dead or cancelled: that the child is cancelled is counted.
GRANT INSERT ON django_flare_rollup TO shop_web;
