"""Input ``http``: records posted by programs of this machine or its neighbours."""
