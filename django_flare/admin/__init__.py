"""The pages of Django's admin; Django imports this package when its admin is installed."""

from django_flare.admin import jobs as jobs
