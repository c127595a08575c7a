GRANT SELECT, INSERT, UPDATE, DELETE ON shop.django_flare_job TO shop_worker;
GRANT SELECT, INSERT, DELETE ON shop.django_flare_attempt TO shop_worker;
GRANT SELECT, INSERT, DELETE ON shop.django_flare_continuation TO shop_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.django_flare_worker TO shop_worker;
GRANT SELECT ON shop.django_flare_queue TO shop_worker;
GRANT SELECT, INSERT, DELETE ON shop.django_flare_rollup TO shop_worker;
-- What the HTTP API has kept goes with its job.
GRANT SELECT, DELETE ON shop.django_flare_reply TO shop_worker;
