"""A testnet that stays up: daemons under one supervisor, joined by cables that can be cut, broken on purpose."""
