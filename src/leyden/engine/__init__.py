"""One run: the loops over batches and epochs, and everything they decide by."""
