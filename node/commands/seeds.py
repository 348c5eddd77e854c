"""Commands by which founders make the genesis seed together: commit, reveal, finish."""

from pathlib import Path
from typing import Annotated

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    ask_passphrase,
    get_home,
    print_line,
    print_note,
)
from node.commands.setup import print_genesis

DraftArgument = Annotated[Path, typer.Argument(metavar="DRAFT", help="The genesis.draft.json of all founders.")]


def commit(home: HomeOption = DEFAULT_HOME) -> None:
    """Print this founder's seed commitment, to send along with its card."""
    from node.clock import OsEntropy
    from node.home import load_home
    from node.seed_files import format_commitment, make_commitment

    opened = load_home(get_home(home), get_passphrase=ask_passphrase)
    commitment = make_commitment(opened.paths.seed_secret, opened.keys.signing, entropy=OsEntropy())
    print_line(format_commitment(commitment).rstrip("\n"))


def reveal(draft_file: DraftArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """Agree to a draft, and print this founder's part of the seed. Look at it with `genesis check` first."""
    from node.errors import ConfigError
    from node.genesis_file import load_draft
    from node.home import load_home
    from node.seed_files import format_reveal, reveal_secret
    from protocol.genesis import compute_draft_id

    draft = load_draft(draft_file)
    opened = load_home(get_home(home), get_passphrase=ask_passphrase)
    member = opened.keys.signing.member
    if member not in {founder.member for founder in draft.founders} or draft.founders_seed is None:
        raise ConfigError(f"{draft_file}: member {member.hex()[:8]} of {get_home(home)} is no founder in this draft")
    draft_id, commitments = compute_draft_id(draft), draft.founders_seed.commitments
    revealed = reveal_secret(opened.paths.seed_secret, opened.keys.signing, draft_id, commitments)
    print_line(format_reveal(revealed, draft_id).rstrip("\n"))
    print_note(f"revealed for draft {draft_id.hex()}; for no other draft will this home do so")


def finish(
    draft_file: DraftArgument,
    reveals: Annotated[list[Path], typer.Argument(help="What `genesis reveal` gave each founder.")],
    as_json: JsonOption = False,
) -> None:
    """Join a draft and all founders' reveals into genesis.json, beside the draft."""
    from node.errors import ConfigError
    from node.genesis_file import GENESIS_FILE_NAME, finish_draft, load_draft, save_genesis
    from node.seed_files import load_reveal
    from protocol.genesis import compute_draft_id

    document = draft_file.parent / GENESIS_FILE_NAME
    if document.exists():
        raise ConfigError(f"{document} exists: remove it, or put the draft into another directory")
    draft = load_draft(draft_file)
    draft_id = compute_draft_id(draft)
    genesis = finish_draft(draft, [load_reveal(path, draft_id) for path in reveals])
    save_genesis(document, genesis)
    print_genesis(genesis, as_json=as_json)
    if not as_json:
        print_note(f"wrote {document}; every founder copies it and genesis.model into its home")
