"""Which heights belong to which epoch (C13): a fixed number of blocks each, counted from height 1."""

from protocol.parameters import Parameters
from protocol.units import Epoch, Height


def compute_last_height(parameters: Parameters, epoch: Epoch) -> Height:
    """Return the height of an epoch's last block."""
    return Height((epoch + 1) * parameters.epoch_blocks)


def is_last_of_epoch(parameters: Parameters, height: Height) -> bool:
    """Return whether the block of this height ends its epoch."""
    return height > 0 and height % parameters.epoch_blocks == 0
