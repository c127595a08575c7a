GRANT SELECT ON auth_user, auth_user_groups, auth_user_user_permissions TO shop_worker;
GRANT SELECT ON auth_group, auth_group_permissions, auth_permission TO shop_worker;
GRANT SELECT ON django_content_type TO shop_worker;
GRANT SELECT (id), INSERT ON django_admin_log TO shop_worker;
