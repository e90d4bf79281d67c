"""The order of samples, vectorised batches, several loaders at once."""
