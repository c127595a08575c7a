GRANT SELECT, INSERT ON shop.django_flare_job TO shop_web;
-- For continue_with.
GRANT SELECT, INSERT ON shop.django_flare_continuation TO shop_web;
-- For continue_with after a parent that is dead or cancelled: that the child is cancelled is counted.
GRANT INSERT ON shop.django_flare_rollup TO shop_web;
