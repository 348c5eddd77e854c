"""A whole network in one process and virtual time, with the real engines, the real ledger and real training."""
