"""What all nodes must agree on: a pure, deterministic, integer-only core.

Nothing in this package reads a clock, draws randomness, performs input or output, or waits. Facts come in as
inputs, orders leave as effects; see :mod:`protocol.engine`.
"""
