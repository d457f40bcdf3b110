"""Lines of text taken apart."""
