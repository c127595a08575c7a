GRANT SELECT ON shop.auth_user TO shop_worker;
GRANT SELECT ON shop.auth_user_groups TO shop_worker;
GRANT SELECT ON shop.auth_user_user_permissions TO shop_worker;
GRANT SELECT ON shop.auth_group TO shop_worker;
GRANT SELECT ON shop.auth_group_permissions TO shop_worker;
GRANT SELECT ON shop.auth_permission TO shop_worker;
GRANT SELECT ON shop.django_content_type TO shop_worker;
GRANT SELECT, INSERT ON shop.django_admin_log TO shop_worker;
