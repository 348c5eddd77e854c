"""Artifacts: models and updates by digest, kept on disk, fetched from the other members and served to them."""
