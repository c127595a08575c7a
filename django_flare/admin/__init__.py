"""The pages of Django's admin; Django imports this package when its admin is installed."""
