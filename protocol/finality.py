"""Which certificate finalizes which block (C7, C13).

A finalization names its block's hash and is of its block's view. The last block of an epoch is the exception: it has
no child that could finalize it, so later views of its epoch vote for it again, and its finalization may be of one of
those.
"""

from protocol.blocks import BlockHeader
from protocol.epochs import is_last_of_epoch
from protocol.errors import InvalidMessage
from protocol.parameters import Parameters
from protocol.units import Digest
from protocol.votes import Certificate, VoteKind


def check_finalization(
    parameters: Parameters, header: BlockHeader, block_hash: Digest, certificate: Certificate
) -> None:
    """Check that a certificate is the finalization of a block; its signatures are not checked here.

    Raises:
        InvalidMessage: It is of another kind, block, epoch or view.
    """
    if certificate.kind is not VoteKind.FINALIZE:
        raise InvalidMessage(f"the certificate of block {header.height} is for {certificate.kind.name}, not FINALIZE")
    if (certificate.epoch, certificate.block_hash) != (header.epoch, block_hash):
        raise InvalidMessage(f"the certificate of block {header.height} is of another block")
    is_closing = is_last_of_epoch(parameters, header.height) and certificate.view > header.view
    if certificate.view != header.view and not is_closing:
        raise InvalidMessage(f"the certificate of block {header.height} is of view {certificate.view}")
