"""Runs one simulation from its plan to its result."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from node.attacks import BallotKind
from node.cards import make_card
from node.errors import ConfigError
from node.genesis_file import Training, build_genesis
from node.keys import BLS_SEED_BYTES, ED25519_SEED_BYTES, NodeKeys
from node.simulate.network import OnRound, SimulatedNetwork
from node.simulate.plan import SimulationPlan, check_plan
from node.simulate.pure_work import share_pure_work
from node.simulate.result import MemberKind, RoundResult, SimulationResult, TimeSpent
from node.simulate.work import Work
from node.tasks.interface import TaskError
from node.worker.laboratory import Laboratory
from node.worker.malice import Malice
from node.worker.messages import LoadTask
from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey
from protocol.genesis import Genesis, TaskSpec
from protocol.ledger.state import LedgerState, compute_state_root, is_eligible
from protocol.outcomes import RoundRecord
from protocol.parameters import Parameters, get_aggregation_choice
from protocol.units import SCORE_WHOLE, Digest, Millis

Inspect: TypeAlias = Callable[[Laboratory, RoundRecord], None]

CREATED_MS: Final = Millis(1_700_000_000_000)
_SECRET_BYTES: Final = 32


@dataclass(slots=True)
class _Recorder:
    """Notes every settled round."""

    plan: SimulationPlan
    laboratory: Laboratory
    parameters: Parameters
    on_round: OnRound
    inspect: Inspect
    rounds: list[RoundResult] = field(default_factory=list)

    def note(self, record: RoundRecord, state: LedgerState) -> None:
        """Note a round and the ledger after it."""
        self.inspect(self.laboratory, record)
        accounts = state.accounts
        self.rounds.append(
            RoundResult(
                round=int(record.round),
                verdict=record.verdict.name.lower(),
                score=compute_mean_score(self.laboratory, self.plan, state.model_digest),
                stakes=tuple(int(account.bonded) for account in accounts),
                evicted=tuple(
                    index for index, account in enumerate(accounts) if not is_eligible(self.parameters, account)
                ),
            )
        )
        self.on_round(record, state)


def run_simulation(
    plan: SimulationPlan,
    *,
    on_round: OnRound = lambda _record, _state: None,
    inspect: Inspect = lambda _laboratory, _record: None,
) -> SimulationResult:
    """Run a simulation; the same plan gives the same result, but for the times.

    Args:
        plan: What to run.
        on_round: Called after every settled round, with its record and the ledger.
        inspect: Called with the laboratory, which still has the round's updates, and the record.

    Raises:
        ConfigError: The plan makes no sense, or the task cannot be used.
    """
    check_plan(plan)
    started = time.perf_counter()
    parameters = plan.build_parameters()
    laboratory, malice = _prepare_work(plan, parameters)
    keys = make_keys(plan)
    genesis = _found(plan, parameters, laboratory, keys)
    members = tuple(entry.signing.member for entry in keys)
    recorder = _Recorder(plan=plan, laboratory=laboratory, parameters=parameters, on_round=on_round, inspect=inspect)
    score_initial = compute_mean_score(laboratory, plan, genesis.model_digest)
    inverting = frozenset(plan.malicious) if plan.scenario.ballot is BallotKind.INVERTED else frozenset()
    with share_pure_work():
        network = SimulatedNetwork(
            genesis,
            keys,
            Work(laboratory, members, scenario=plan.scenario, malice=malice),
            inverting=inverting,
            on_round=recorder.note,
        )
        state = network.run()
    kinds = tuple(
        MemberKind.MALICIOUS if index in plan.malicious else MemberKind.HONEST for index in range(plan.node_count)
    )
    return SimulationResult(
        plan=plan,
        score_initial=score_initial,
        rounds=tuple(recorder.rounds),
        kinds=kinds,
        backdoor=measure_backdoor(laboratory, plan, state.model_digest),
        ledger_root=compute_state_root(state).hex(),
        time=TimeSpent(
            elapsed_s=time.perf_counter() - started,
            train_s=laboratory.train_s,
            evaluate_s=laboratory.evaluate_s,
            aggregate_s=laboratory.aggregate_s,
        ),
    )


def compute_mean_score(laboratory: Laboratory, plan: SimulationPlan, model: Digest) -> float:
    """Return the mean of the honest members' scores of a model, each on its own held-out data, 0 to 1."""
    honest = range(plan.node_count - plan.malicious_count)
    return sum(laboratory.evaluate(member, model) for member in honest) / (len(honest) * SCORE_WHOLE)


def measure_backdoor(laboratory: Laboratory, plan: SimulationPlan, model: Digest) -> float | None:
    """Return how often a trigger works on honest members' held-out data, 0 to 1; None if the task knows no trigger."""
    module = laboratory.load_module(model)
    honest = laboratory.tasks[: plan.node_count - plan.malicious_count]
    try:
        shares = [task.measure_backdoor(module, device=laboratory.device) for task in honest]
    except TaskError:
        return None
    return sum(shares) / len(shares)


def make_keys(plan: SimulationPlan) -> tuple[NodeKeys, ...]:
    """Return the members' keys, which the seed gives, in the order of the founders."""
    keys = []
    for index in range(plan.node_count):
        seeds = hashlib.shake_256(f"pnyx/simulate/{plan.seed}/{index}".encode()).digest(
            ED25519_SEED_BYTES + BLS_SEED_BYTES + _SECRET_BYTES
        )
        signing, rest = seeds[:ED25519_SEED_BYTES], seeds[ED25519_SEED_BYTES:]
        keys.append(
            NodeKeys(
                seed=signing,
                signing=SigningKey(signing),
                bls=BlsSigningKey(rest[:BLS_SEED_BYTES]),
                salt_secret=rest[BLS_SEED_BYTES:],
            )
        )
    return tuple(sorted(keys, key=lambda entry: entry.signing.member))


def _prepare_work(plan: SimulationPlan, parameters: Parameters) -> tuple[Laboratory, Malice | None]:
    load = LoadTask(
        task=plan.task,
        parameters=plan.build_task_params(),
        member_index=0,
        member_count=plan.node_count,
        aggregation=get_aggregation_choice(parameters),
        schema=None,
        attack="none",
        attack_strength_ppm=0,
        device="cpu",
        thread_count=1,
    )
    try:
        laboratory = Laboratory(load)
        if not plan.malicious:
            return laboratory, None
        return laboratory, Malice(
            laboratory,
            plan.malicious,
            plan.scenario.update,
            strength=plan.attack_strength,
            tolerance_bps=parameters.tolerance_bps,
        )
    except TaskError as error:
        raise ConfigError(f"the task {plan.task} cannot be used: {error}") from error


def _found(plan: SimulationPlan, parameters: Parameters, laboratory: Laboratory, keys: tuple[NodeKeys, ...]) -> Genesis:
    return build_genesis(
        tuple(make_card(entry, name=f"member-{index}", addresses=()) for index, entry in enumerate(keys)),
        name="simulation",
        parameters=parameters,
        training=Training(
            task=TaskSpec(name=plan.task, params=plan.build_task_params()),
            schema=laboratory.schema,
            model_digest=laboratory.initial_digest,
        ),
        seed=Digest(hashlib.sha256(f"pnyx/simulate/{plan.seed}".encode()).digest()),
        created_ms=CREATED_MS,
    )
