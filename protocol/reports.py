"""Evidence on its way to the ledger: checked and reported once, by whoever holds it (L7)."""

from protocol.evidence import Evidence, Offence, check_evidence, get_offence
from protocol.ledger.state import LedgerState
from protocol.operations import ReportEvidence
from protocol.units import Digest, Epoch


class Reports:
    """The offences that this node has reported."""

    def __init__(self, chain_id: Digest) -> None:
        """Start with none; a report that is repeated after a restart is refused, at no harm."""
        self._chain_id = chain_id
        self._reported: set[Offence] = set()

    def take(self, proof: Evidence, state: LedgerState) -> tuple[Offence, ReportEvidence] | None:
        """Return the offence that evidence proves and the operation that reports it; None if it is known already."""
        offence = get_offence(proof)
        if offence in self._reported or offence in state.offences:
            # Before anything is verified: whoever contradicts itself once can do so a thousand times in one view.
            return None
        check_evidence(self._chain_id, proof)
        self._reported.add(offence)
        return offence, ReportEvidence(evidence=proof)

    def forget_before(self, epoch: Epoch) -> None:
        """Forget the offences of earlier epochs: they convict no more."""
        self._reported = {offence for offence in self._reported if offence.epoch >= epoch}
