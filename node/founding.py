"""Founds a network: from cards, a task and parameters to a genesis document with its initial model.

The task is described by a worker, which alone imports torch: it writes the initial model and tells the tensors. The
same code serves ``pnyx genesis create``, the demo and the tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.cards import Card
from node.durable import save_file
from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.genesis_file import (
    DRAFT_FILE_NAME,
    GENESIS_FILE_NAME,
    Training,
    build_genesis,
    save_draft,
    save_genesis,
    sort_commitments,
)
from node.home import HomePaths
from node.json_documents import suggest
from node.learner import LearnerSettings, TaskDescription, open_learner
from node.ports import Clock, Entropy
from protocol.errors import InvalidMessage
from protocol.genesis import Genesis, TaskSpec
from protocol.parameters import (
    PARAMETER_BOUNDS,
    Parameters,
    Preset,
    check_parameters,
    get_aggregation_choice,
    make_paper_parameters,
)
from protocol.seeds import DrandRound, SeedCommitment
from protocol.units import Digest

MODEL_FILE_NAME: Final = "genesis.model"
_INTEGER_PARAMETERS: Final = frozenset(name for name, _, _ in PARAMETER_BOUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What founders agree on besides who they are."""

    name: str
    """The network's, for people."""
    task: TaskSpec
    parameters: Parameters
    commitments: tuple[SeedCommitment, ...] = ()
    """Of all founders, if they make the seed together."""
    drand: DrandRound | None = None
    """What makes the seed, if not the founders. With neither, whoever writes the document draws it."""
    search_paths: tuple[Path, ...] = ()
    """Folders in which an own task's module is found."""
    local: tuple[tuple[str, str], ...] = ()
    """What the task is told here alone, while its model is described; no part of the document."""


def build_parameters(
    *, preset: Preset, member_count: int, choices: Mapping[str, object], settings: Sequence[str] = ()
) -> Parameters:
    """Return a network's parameters.

    Args:
        preset: Where the numbers start from.
        member_count: How many founders there are; the paper's committee depends on it.
        choices: Fields of :class:`Parameters` that were chosen; None keeps the preset's value.
        settings: Further integer parameters as ``name=value``.

    Raises:
        ConfigError: A name is unknown, a value is no integer, out of bounds, or contradicts another.
    """
    parameters = Parameters(preset=preset)
    if preset is Preset.PAPER:
        parameters = make_paper_parameters(parameters, member_count=member_count)
    chosen = {name: value for name, value in choices.items() if value is not None}
    for name, text in parse_pairs(settings).items():
        if name not in _INTEGER_PARAMETERS:
            raise ConfigError(f"unknown parameter {name!r}{suggest(name, _INTEGER_PARAMETERS)}")
        try:
            chosen[name] = int(text)
        except ValueError as error:
            raise ConfigError(f"parameter {name} is {text!r}, it must be an integer") from error
    parameters = replace(parameters, **chosen)  # type: ignore[arg-type]  # names are checked, values below
    try:
        check_parameters(parameters)
    except InvalidMessage as error:
        raise ConfigError(str(error)) from error
    return parameters


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Return ``key=value`` words as a mapping.

    Raises:
        ConfigError: A word has no ``=``, or a key comes twice.
    """
    parsed: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise ConfigError(f"{pair!r} is not key=value")
        if key in parsed:
            raise ConfigError(f"{key!r} is given twice")
        parsed[key] = value
    return parsed


async def create_genesis(
    cards: Sequence[Card], foundation: Foundation, *, directory: Path, entropy: Entropy, clock: Clock
) -> Genesis:
    """Write ``genesis.json`` and ``genesis.model`` into a directory and return the document.

    With seed commitments it is ``genesis.draft.json``, which has no seed yet.

    Raises:
        ConfigError: The cards or parameters do not make a network, the task cannot be used, or the directory holds a
            genesis document already.
    """
    check_free(directory)
    if foundation.commitments:
        sort_commitments(tuple(cards), foundation.commitments)
    directory.mkdir(parents=True, exist_ok=True)
    settings = LearnerSettings(
        task=foundation.task.name,
        parameters=foundation.task.params,
        member_index=0,
        member_count=len(cards),
        aggregation=get_aggregation_choice(foundation.parameters),
        schema=None,
        search_paths=foundation.search_paths,
        local=foundation.local,
    )
    described = await _describe_task(settings, directory / MODEL_FILE_NAME)
    genesis = build_genesis(
        tuple(cards),
        name=foundation.name,
        parameters=foundation.parameters,
        training=Training(task=foundation.task, schema=described.schema, model_digest=described.model_digest),
        seed=foundation.commitments or foundation.drand or Digest(entropy.get_bytes(32)),
        created_ms=clock.get_now_ms(),
    )
    if foundation.commitments:
        save_draft(directory / DRAFT_FILE_NAME, genesis)
    else:
        save_genesis(directory / GENESIS_FILE_NAME, genesis)
    return genesis


def check_free(directory: Path) -> None:
    """Check that a directory holds no genesis document yet.

    Raises:
        ConfigError: It does, or a draft.
    """
    for name in (GENESIS_FILE_NAME, DRAFT_FILE_NAME):
        if (directory / name).exists():
            raise ConfigError(f"{directory / name} exists: remove it, or choose another directory with -o")


async def _describe_task(settings: LearnerSettings, initial_model: Path) -> TaskDescription:
    try:
        with raise_cause():
            async with open_learner(settings) as learner:
                return await learner.describe(initial_model=initial_model)
    except WorkerFailed as error:
        raise ConfigError(f"the task {settings.task} cannot be used: {error}") from error
    raise AssertionError("raise_cause never swallows an error")


def install_genesis(source: Path, home: Path) -> None:
    """Copy a genesis document and its initial model into a home, as a founder does by hand."""
    paths = HomePaths(root=home)
    for name, target in ((MODEL_FILE_NAME, paths.model), (GENESIS_FILE_NAME, paths.genesis)):
        save_file(target, (source / name).read_bytes())
