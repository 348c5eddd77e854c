"""Chaos on real processes: kills, pauses and partitions at random while rounds go on, and what must hold afterwards."""
