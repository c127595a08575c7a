"""The pages of Django's admin; Django imports this package when its admin is installed."""

from django_flare.admin import api_keys as api_keys
from django_flare.admin import dashboard as dashboard
from django_flare.admin import jobs as jobs
from django_flare.admin import queues as queues
from django_flare.admin import workers as workers
