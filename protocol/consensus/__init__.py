"""Stake-weighted Simplex consensus on opaque operations (section 4); see :mod:`protocol.consensus.machine`."""
