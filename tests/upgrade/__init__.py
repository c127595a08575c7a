"""The release before and this one together, on this one's tables, while jobs run."""
