"""The ledger: stake, rounds and lineage, moved only by final blocks; see :mod:`protocol.ledger.transition`."""
