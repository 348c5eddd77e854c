"""What this node owes the current round: train, judge, seal, reveal (section 2), and know its models.

The plan is a function of the ledger's state and of what the worker has answered so far, computed anew after every
input; so a restart needs no more than the ballots it sealed (:class:`OwnBallotRecord`) and its scores. Rules F3, F6,
F7, F8; whether an operation is accepted is the ledger's question.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from protocol.crypto import Domain, compute_digest
from protocol.interface import (
    CandidateComputed,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    ModelEvaluated,
    Observe,
    Persist,
    ScreeningFailed,
    ScreenUpdate,
    TrainModel,
    UpdateReference,
    UpdateScreened,
    UpdateTrained,
    WorkFailed,
)
from protocol.journal import OwnBallotRecord, Record, ScoreRecord
from protocol.learning.artifact_format import ModelSchema, compute_model_size_bytes
from protocol.learning.judgement import compute_share_exponents, is_acceptable
from protocol.learning.screening import Screening
from protocol.ledger.state import LedgerState, RoundState
from protocol.observations import CandidateDiffers, UpdateNotScreened, WorkAbandoned
from protocol.operations import Ballot, Payload, RevealBallot, SealBallot, SubmitUpdate, compute_seal
from protocol.outcomes import Phase, RoundRecord, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import Digest, MemberId, Millis, Ppm, Round, Salt


@dataclass(frozen=True, slots=True, kw_only=True)
class DutiesConfig:
    """Who this node is in a round, and how it judges."""

    chain_id: Digest
    parameters: Parameters
    schema: ModelSchema
    member: MemberId
    salt_secret: bytes
    """Where the salts of sealed ballots derive from; known to nobody else."""
    inverts_ballots: bool
    """True makes this node vote the wrong way round: misbehaviour on request, for tests and demonstrations."""


@dataclass(slots=True)
class Plan:
    """What to do next: orders to the shell, and operations to submit."""

    effects: list[Effect] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)


class Duties:
    """This node's part in the rounds."""

    def __init__(self, config: DutiesConfig) -> None:
        """Start with no memory; :meth:`restore` gives it back."""
        self._config = config
        self._scores: dict[Digest, Ppm] = {}
        self._screened: dict[tuple[Digest, UpdateReference], Ppm | None] = {}
        self._candidates: dict[tuple[Digest, tuple[UpdateReference, ...]], Digest] = {}
        self._ballots: dict[tuple[Round, int], Ballot] = {}
        self._screening = Screening(config.parameters.screening_bps)
        self._trained: UpdateTrained | None = None
        self._asked: set[Effect] = set()
        self._submitted: set[Payload] = set()
        self._abandoned: Round | None = None
        self._last: RoundRecord | None = None
        self._updates: tuple[Round, tuple[UpdateReference, ...]] = (Round(0), ())

    def restore(self, records: Iterable[Record]) -> None:
        """Take back the ballots behind published seals, and the scores."""
        for record in records:
            match record:
                case OwnBallotRecord(round=round_number, attempt=attempt, ballot=ballot):
                    self._ballots[round_number, attempt] = ballot
                case ScoreRecord(model_digest=model_digest, score=score):
                    self._scores[model_digest] = score
                case _:
                    pass

    def get_score(self, model_digest: Digest) -> Ppm | None:
        """Return a model's score on this node's own held-out data, if it is known."""
        return self._scores.get(model_digest)

    def on_trained(self, event: UpdateTrained) -> None:
        """Take this node's own update."""
        self._trained = event

    def on_candidate(self, event: CandidateComputed, state: LedgerState) -> list[Effect]:
        """Take a candidate; say so if the ledger accepted another one for the same updates (F6)."""
        self._candidates[event.base_digest, event.updates] = event.candidate_digest
        last, (round_number, updates) = self._last, self._updates
        if last is None or round_number != last.round or not _is_accepted_candidate(last, updates):
            return []
        if (last.base_digest, updates) != (event.base_digest, event.updates):
            return []
        if state.model_digest == event.candidate_digest:
            return []
        differs = CandidateDiffers(
            round=last.round, computed_digest=event.candidate_digest, accepted_digest=state.model_digest
        )
        return [Observe(observation=differs)]

    def on_score(self, event: ModelEvaluated) -> list[Effect]:
        """Take a model's score and remember it."""
        if self._scores.get(event.model_digest) == event.score:
            return []
        self._scores[event.model_digest] = event.score
        return [Persist(record=ScoreRecord(model_digest=event.model_digest, score=event.score))]

    def on_screened(self, event: UpdateScreened | ScreeningFailed) -> list[Effect]:
        """Take the score of a base moved by an update, or that there is none; a restart screens again."""
        key = (event.base_digest, event.update)
        if isinstance(event, UpdateScreened):
            self._screened[key] = event.score
            return []
        self._screened[key] = None
        digest = event.update.artifact_digest
        return [Observe(observation=UpdateNotScreened(round=event.round, update_digest=digest, reason=event.reason))]

    def on_failed(self, event: WorkFailed) -> list[Effect]:
        """Stay silent for the rest of a round."""
        self._abandoned = event.round
        return [Observe(observation=WorkAbandoned(round=event.round, reason=event.reason))]

    def on_settled(self, record: RoundRecord, state: LedgerState) -> tuple[Digest, ...]:
        """Forget a round's work; return the artifacts that no rule needs any more."""
        digests = {*record.update_digests, *self._candidates.values()}
        self._last = record
        self._trained = None
        self._screened.clear()
        self._asked.clear()
        self._submitted.clear()
        needed = {state.model_digest, *state.accepted_models}
        if record.verdict is not Verdict.ACCEPT or record.candidate_digest in self._candidates.values():
            self._candidates.clear()
        else:
            # The accepted candidate is still to be computed here from these updates.
            needed.update(record.update_digests)
        self._ballots = {key: ballot for key, ballot in self._ballots.items() if key[0] > record.round}
        self._scores = {
            model: score for model, score in self._scores.items() if model in needed or model not in digests
        }
        return tuple(sorted(digests - needed))

    def plan(self, state: LedgerState, held: frozenset[Digest] | set[Digest], now_ms: Millis) -> Plan:
        """Return what this node should do now that has not been asked for yet.

        Args:
            state: The ledger after its last final block.
            held: Digests of the artifacts on this node's disk.
            now_ms: The clock, to leave alone what is over anyway.
        """
        plan = Plan()
        current = state.round
        if current is not None and current.updates:
            self._updates = (current.round, _get_update_references(current))
        if not self._has_model(state, held, plan):
            return plan
        if state.model_digest not in self._scores:
            open_round = state.next_round if current is None else current.round
            self._ask(plan, EvaluateModel(round=open_round, model_digest=state.model_digest, base_digest=None))
        if current is None or self._abandoned == current.round or now_ms > current.deadline_ms > 0:
            return plan
        match current.phase:
            case Phase.TRAIN:
                self._plan_training(current, plan)
            case Phase.SEAL:
                self._plan_seal(state, current, plan)
            case Phase.REVEAL:
                self._plan_reveal(current, plan)
            case Phase.DRAW:
                pass
        return plan

    def _has_model(self, state: LedgerState, held: frozenset[Digest] | set[Digest], plan: Plan) -> bool:
        """Return whether the current model is on disk; otherwise ask to compute it from the updates, or to fetch it."""
        if state.model_digest in held:
            return True
        recompute = self._build_recomputation(state, held)
        if recompute is not None:
            self._ask(plan, recompute)
            return False
        size = compute_model_size_bytes(self._config.schema)
        self._ask(
            plan,
            FetchArtifact(digest=state.model_digest, bytes_expected=size, source=None, scale_exponents=None),
        )
        return False

    def _build_recomputation(
        self, state: LedgerState, held: frozenset[Digest] | set[Digest]
    ) -> ComputeCandidate | None:
        """Return the order to compute the model just accepted, if all it takes is here and has not been tried (F6)."""
        last = self._last
        if last is None or last.candidate_digest != state.model_digest:
            return None
        round_number, updates = self._updates
        if round_number != last.round or not _is_accepted_candidate(last, updates):
            return None
        if (last.base_digest, updates) in self._candidates or last.base_digest not in held:
            return None
        if any(update.artifact_digest not in held for update in updates):
            return None
        return ComputeCandidate(round=last.round, base_digest=last.base_digest, updates=updates)

    def _plan_training(self, current: RoundState, plan: Plan) -> None:
        me = self._config.member
        if me not in current.proposers or any(entry.member == me for entry in current.updates):
            return
        trained = self._trained
        if trained is None or (trained.round, trained.base_digest) != (current.round, current.base_digest):
            self._ask(plan, TrainModel(round=current.round, base_digest=current.base_digest))
            return
        manifest = SubmitUpdate(
            round=current.round,
            base_digest=current.base_digest,
            scale_exponents=trained.scale_exponents,
            artifact_digest=trained.artifact_digest,
            artifact_bytes=trained.artifact_bytes,
            example_count=trained.example_count,
        )
        self._submit(plan, manifest)

    def _plan_seal(self, state: LedgerState, current: RoundState, plan: Plan) -> None:
        me = self._config.member
        if me not in current.voters or any(entry.member == me for entry in current.seals):
            return
        key = (current.round, current.attempt)
        ballot = self._ballots.get(key)
        if ballot is None:
            ballot = self._judge(state, current, plan)
            if ballot is None:
                return
            self._ballots[key] = ballot
            record = OwnBallotRecord(round=current.round, attempt=current.attempt, ballot=ballot)
            plan.effects.append(Persist(record=record))
        seal = compute_seal(me, current.round, current.attempt, ballot, self._compute_salt(current))
        self._submit(plan, SealBallot(round=current.round, attempt=current.attempt, seal=seal))

    def _plan_reveal(self, current: RoundState, plan: Plan) -> None:
        me = self._config.member
        ballot = self._ballots.get((current.round, current.attempt))
        is_sealed = any(entry.member == me for entry in current.seals)
        if ballot is None or not is_sealed or any(entry.member == me for entry in current.reveals):
            return
        salt = self._compute_salt(current)
        self._submit(plan, RevealBallot(round=current.round, attempt=current.attempt, ballot=ballot, salt=salt))

    def _judge(self, state: LedgerState, current: RoundState, plan: Plan) -> Ballot | None:
        """Return this voter's ballot (F7, F8), or None while the worker still has to answer."""
        updates = _get_update_references(current)
        candidate = self._get_candidate(current, updates, plan)
        base_score = self._get_score_or_ask(current, current.base_digest, None, plan)
        if candidate is None or base_score is None:
            return None
        candidate_score = self._get_score_or_ask(current, candidate, current.base_digest, plan)
        if candidate_score is None:
            return None
        reference = self._compute_reference(state, base_score)
        tolerance = self._config.parameters.tolerance_bps
        is_accept = is_acceptable(candidate_score, reference, tolerance)
        flags = self._screen(current, updates, base_score, plan)
        if flags is None:
            return None
        is_bad = not is_acceptable(base_score, reference, tolerance)
        if self._config.inverts_ballots:
            is_accept, flags, is_bad = not is_accept, tuple(not flag for flag in flags), False
        return Ballot(candidate_digest=candidate, is_accept=is_accept, update_flags=flags, is_base_flagged=is_bad)

    def _screen(
        self, current: RoundState, updates: tuple[UpdateReference, ...], base_score: Ppm, plan: Plan
    ) -> tuple[bool, ...] | None:
        """Return which updates to flag (F8), or None while the worker still has to answer."""
        if self._config.parameters.preset is Preset.PAPER:
            return tuple(False for _ in updates)
        shares = [(current.base_digest, _take_share(update)) for update in updates]
        missing = [share for share in shares if share not in self._screened]
        for base_digest, update in missing:
            self._ask(plan, ScreenUpdate(round=current.round, base_digest=base_digest, update=update))
        if missing:
            return None
        moved = [(entry.member, self._screened[share]) for entry, share in zip(current.updates, shares, strict=True)]
        return self._screening.judge(current.round, base_score, moved)

    def _compute_reference(self, state: LedgerState, base_score: Ppm) -> Ppm:
        """Return the score to hold a candidate against: the best accepted model's, by own evaluation (F7)."""
        if self._config.parameters.preset is Preset.PAPER:
            return base_score
        known = [self._scores[model] for model in state.accepted_models if model in self._scores]
        return max([base_score, *known])

    def _get_candidate(self, current: RoundState, updates: tuple[UpdateReference, ...], plan: Plan) -> Digest | None:
        key = (current.base_digest, updates)
        known = self._candidates.get(key)
        if known is None:
            self._ask(plan, ComputeCandidate(round=current.round, base_digest=current.base_digest, updates=updates))
        return known

    def _get_score_or_ask(self, current: RoundState, model: Digest, base: Digest | None, plan: Plan) -> Ppm | None:
        score = self._scores.get(model)
        if score is None:
            self._ask(plan, EvaluateModel(round=current.round, model_digest=model, base_digest=base))
        return score

    def _compute_salt(self, current: RoundState) -> Salt:
        where = current.round.to_bytes(8, "big") + current.attempt.to_bytes(1, "big")
        return Salt(compute_digest(Domain.SALT, self._config.salt_secret, self._config.chain_id, where))

    def _submit(self, plan: Plan, payload: Payload) -> None:
        # Once: an operation that the ledger refused would be refused again.
        if payload not in self._submitted:
            self._submitted.add(payload)
            plan.payloads.append(payload)

    def _ask(self, plan: Plan, effect: Effect) -> None:
        if effect not in self._asked:
            self._asked.add(effect)
            plan.effects.append(effect)


def _is_accepted_candidate(record: RoundRecord, updates: tuple[UpdateReference, ...]) -> bool:
    """Return whether a round accepted the candidate that these updates make, those of its last attempt (F11)."""
    digests = tuple(update.artifact_digest for update in updates)
    return record.verdict is Verdict.ACCEPT and digests == record.candidate_updates


def _take_share(update: UpdateReference) -> UpdateReference:
    """Return the part of an update that a voter screens."""
    return replace(update, scale_exponents=compute_share_exponents(update.scale_exponents))


def _get_update_references(current: RoundState) -> tuple[UpdateReference, ...]:
    """Return a round's updates in their canonical order."""
    return tuple(
        UpdateReference(artifact_digest=entry.manifest.artifact_digest, scale_exponents=entry.manifest.scale_exponents)
        for entry in current.updates
    )
