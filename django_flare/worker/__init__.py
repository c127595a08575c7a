"""The worker: claims jobs in batches, runs them in slots, records what became of them in batches."""
