import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client


@pytest.fixture
def member(db):
    """Make a member of staff with these permissions of ours; return a client that is logged in."""

    def make(*permissions, name="member", **attributes):
        user = User.objects.create_user(name, is_staff=True, **attributes)
        user.user_permissions.set(
            Permission.objects.filter(content_type__app_label="django_flare", codename__in=permissions)
        )
        client = Client()
        client.force_login(user)
        client.user = user
        return client

    return make


@pytest.fixture
def operator(member):
    """A client with all permissions."""
    return member(name="operator", is_superuser=True)
