"""Delivery: the one loop that takes frames from the queue to an output, with every retry decision in one place."""
