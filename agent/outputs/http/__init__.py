"""Batches of documents to any HTTP server: a webhook."""
