"""The forger of bitmaps: certificates made of true signatures that say something else about who gave them.

Bits for members that did not sign, bits beyond the last member, bitmaps too long or too short, signatures in another
order, one signature several times, one too few or too many, another kind, view, block or epoch over the same
signatures. In messages of its own, inside its proposals, and with the blocks that it serves. Not one may count (C5, C6,
C7, C14), and nobody who passes its proposals on may be blamed.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import Certificates, Proposal, Votes
from protocol.units import Digest, Epoch, Millis, View
from protocol.votes import Certificate, Vote, VoteKind, build_certificate
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_consensus, read_effect, tell
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action

FORGES = 0.25
"""How often it makes something of the votes that it hears."""

SPOILS = 0.5
"""How often a proposal of its own carries a certificate that proves nothing."""


def set_foreign_bit(certificate: Certificate) -> Certificate:
    """Name one more signer, who did not sign: the first whose bit is free."""
    length, number = len(certificate.signers), int.from_bytes(certificate.signers, "little")
    return replace(certificate, signers=(number | number + 1).to_bytes(length, "little"))


def set_bits_beyond(certificate: Certificate) -> Certificate:
    """Name the last place of the bitmap, which is nobody's, and give it a signature."""
    signers = certificate.signers[:-1] + bytes([certificate.signers[-1] | 0x80])
    return replace(certificate, signers=signers, signatures=(*certificate.signatures, certificate.signatures[0]))


def name_nobody(certificate: Certificate) -> Certificate:
    """Name the last place of the bitmap, which is nobody's, and leave the rest as it is."""
    return replace(certificate, signers=certificate.signers[:-1] + bytes([certificate.signers[-1] | 0x80]))


def set_all_bits(certificate: Certificate) -> Certificate:
    """Let one signature stand for everybody's."""
    signers = b"\xff" * len(certificate.signers)
    return replace(certificate, signers=signers, signatures=(certificate.signatures[0],) * (8 * len(signers)))


def pad(certificate: Certificate) -> Certificate:
    """Lengthen the bitmap."""
    return replace(certificate, signers=certificate.signers + b"\x00")


def cut(certificate: Certificate) -> Certificate:
    """Shorten the bitmap to nothing."""
    return replace(certificate, signers=b"")


def turn_round(certificate: Certificate) -> Certificate:
    """Put the signatures in the other order."""
    return replace(certificate, signatures=tuple(reversed(certificate.signatures)))


def repeat_first(certificate: Certificate) -> Certificate:
    """Let every signer's signature be the first one's."""
    return replace(certificate, signatures=(certificate.signatures[0],) * len(certificate.signatures))


def drop_signature(certificate: Certificate) -> Certificate:
    """Leave a signature out and its signer in."""
    return replace(certificate, signatures=certificate.signatures[1:])


def shift_signers(certificate: Certificate) -> Certificate:
    """Ascribe the signatures to the members next to those who gave them."""
    number = int.from_bytes(certificate.signers, "little") << 1
    return replace(certificate, signers=number.to_bytes(len(certificate.signers) + 1, "little")[:-1])


def move_on(certificate: Certificate) -> Certificate:
    """Ascribe the signatures to the next view."""
    return replace(certificate, view=View(certificate.view + 1))


def change_epoch(certificate: Certificate) -> Certificate:
    """Ascribe the signatures to another epoch."""
    return replace(certificate, epoch=Epoch(certificate.epoch + 1))


def change_kind(certificate: Certificate) -> Certificate:
    """Take notarizations for finalizations and the other way round."""
    kind = VoteKind.FINALIZE if certificate.kind is VoteKind.NOTARIZE else VoteKind.NOTARIZE
    return replace(certificate, kind=kind)


def forget_block(certificate: Certificate) -> Certificate:
    """Take everything for a nullification."""
    return replace(certificate, kind=VoteKind.NULLIFY, block_hash=None)


FORGERIES: tuple[Callable[[Certificate], Certificate], ...] = (
    set_foreign_bit,
    set_bits_beyond,
    name_nobody,
    set_all_bits,
    pad,
    cut,
    turn_round,
    repeat_first,
    drop_signature,
    shift_signers,
    move_on,
    change_epoch,
    change_kind,
    forget_block,
)


class BitmapForger:
    """Gives true signatures another meaning."""

    def __init__(self, home: AdversaryHome, puppet: Puppet) -> None:
        self._puppet = puppet
        self._others = list_others(home)
        self._random = random.Random(f"bitmap-forger-{home.index}-{home.seed}")
        self._attempt = int(home.started_ms)

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        return [self._spoil(effect) for effect in effects]

    def hear(self, _sender: int, topic: Topic, message: bytes) -> list[Action]:
        heard = read_consensus(topic, message)
        if not isinstance(heard, Votes) or self._random.random() >= FORGES:
            return []
        certificate = self._get_certificate(heard.votes[-1])
        if certificate is None:
            return []
        return [tell(self._others, self._wrap(self._forge(certificate))) for _ in range(2)]

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        certificate = blocks[-1].certificate if blocks else None
        if certificate is None or self._random.random() < 0.3:
            return blocks
        return (*blocks[:-1], replace(blocks[-1], certificate=self._forge(certificate)))

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _get_certificate(self, heard: Vote) -> Certificate | None:
        """Return a true certificate if there is one for something near, otherwise one of this vote alone."""
        tree = self._puppet.engine.consensus.tree
        held = [*tree.notarizations.values(), *tree.nullifications.values(), *tree.finalizations.values()]
        if held and self._random.random() < 0.7:
            return self._random.choice(held)
        validators = self._puppet.engine.consensus.config.validators
        return build_certificate(validators, (heard,)) if validators.has_member(heard.member) else None

    def _forge(self, certificate: Certificate) -> Certificate:
        return self._random.choice(FORGERIES)(certificate)

    def _wrap(self, certificate: Certificate) -> Certificates:
        self._attempt += 1
        return Certificates(certificates=(certificate,), attempt=self._attempt)

    def _spoil(self, effect: Effect) -> Action:
        message = read_effect(effect)
        if not isinstance(message, Proposal) or self._random.random() >= SPOILS:
            return effect
        if message.nullifications and self._random.random() < 0.5:
            first, *others = message.nullifications
            return tell(self._others, replace(message, nullifications=(self._forge(first), *others)))
        if message.parent_certificate is not None:
            return tell(self._others, replace(message, parent_certificate=self._forge(message.parent_certificate)))
        return effect


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    puppet = Puppet(home)
    return Puppeteer(puppet, BitmapForger(home, puppet))


