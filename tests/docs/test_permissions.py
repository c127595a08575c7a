"""The table of permissions names those that there are."""

import pytest
from django.contrib.auth.models import Permission

from tests.docs.pages import table


@pytest.mark.django_db
def test_the_permissions():
    written = {name for name, *_ in table("reference/permissions", "Permissions")}
    there = Permission.objects.filter(content_type__app_label="django_flare")
    assert written == set(there.values_list("codename", flat=True))
