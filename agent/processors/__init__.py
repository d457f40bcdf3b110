"""Processors: plain, synchronous functions over batches. They know nothing of inputs, the queue or outputs."""
