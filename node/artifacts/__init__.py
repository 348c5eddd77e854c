"""Artifacts: content-addressed storage of models and updates, fetching them from the other members, and serving them."""
