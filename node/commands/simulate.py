"""The simulate command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from node.commands.common import AggregationName, print_line, print_note

if TYPE_CHECKING:
    from node.simulate.plan import SimulationPlan
    from node.simulate.result import SimulationResult

BallotName = Literal["honest", "inverted", "colluding", "lazy", "copied", "silent"]

AttackOption = Annotated[
    str,
    typer.Option(
        help="What malicious members do: none, label_flip, sign_flip, noise, alie, inner_product, min_max, min_sum, "
        "backdoor, scaling, ratchet, free_zero, free_stale, free_copy, inverted_voters, colluding_voters, lazy_voters, "
        "vote_copiers, silent_proposers, silent_voters or silent.",
    ),
]

SplitOption = Annotated[
    Literal["iid", "dirichlet", "site"], typer.Option(help="How the data are dealt; site: by a real column.")
]
BallotOption = Annotated[
    BallotName | None, typer.Option(help="How malicious members vote, if not as the attack says.")
]
SettingOption = Annotated[
    list[str] | None, typer.Option("--set", help="A network parameter name=value; may be repeated.")
]
MatrixOption = Annotated[
    Path | None, typer.Option(help="Run every combination of a TOML file instead.", dir_okay=False)
]
OutputOption = Annotated[
    Path | None, typer.Option(help="Where a matrix's results and report go, or are.", file_okay=False)
]


def simulate(
    nodes: Annotated[int, typer.Option(help="How many members.")] = 10,
    rounds: Annotated[int, typer.Option(help="How many rounds to train.")] = 60,
    task: Annotated[str, typer.Option(help="What to train: a bundled task or module:Class.")] = "digits",
    param: Annotated[list[str] | None, typer.Option(help="A task parameter key=value; may be repeated.")] = None,
    split: SplitOption = "iid",
    alpha: Annotated[float, typer.Option(help="Of a dirichlet split: smaller is less even.")] = 0.5,
    attack: AttackOption = "none",
    ballots: BallotOption = None,
    strength: Annotated[float | None, typer.Option(help="Of the attack, if not its own.")] = None,
    fraction: Annotated[float, typer.Option(help="Which share of the members is malicious; goes with --attack.")] = 0.0,
    aggregation: Annotated[AggregationName | None, typer.Option(help="How updates join; the preset's.")] = None,
    preset: Annotated[Literal["neutral", "paper"], typer.Option(help="Who pays for what.")] = "neutral",
    proposers: Annotated[int | None, typer.Option(help="Members that train in a round.")] = None,
    voters: Annotated[int | None, typer.Option(help="Members that judge in a round, at most; odd.")] = None,
    setting: SettingOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of keys, data, training and draws.")] = 1,
    matrix: MatrixOption = None,
    output: OutputOption = None,
    keep_filed: Annotated[
        bool, typer.Option("--keep-filed", help="Use filed results of a matrix though other code computed them.")
    ] = False,
    plots: Annotated[bool, typer.Option(help="Draw a matrix's plots; needs the extra 'plots'.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each run.")] = False,
) -> None:
    """Run a network in one process and virtual time: real engines, ledger and training, and attackers on request."""
    from node.attacks import BallotKind
    from node.simulate.plan import SimulationPlan
    from node.simulate.result import format_line
    from protocol.parameters import AggregationRule, Preset

    if (matrix is None) != (output is None):
        raise typer.BadParameter("--matrix FILE and --output DIR belong together")
    if matrix is not None and output is not None:
        _run_matrix(matrix, output, has_plots=plots, keeps_filed=keep_filed, as_json=as_json)
        return
    plan = SimulationPlan(
        node_count=nodes,
        round_count=rounds,
        task=task,
        task_params=tuple(param or ()),
        split=f"dirichlet:{alpha:g}" if split == "dirichlet" else split,
        attack=attack,
        ballots=None if ballots is None else BallotKind(ballots),
        strength=strength,
        fraction=fraction,
        aggregation=None if aggregation is None else AggregationRule[aggregation.upper()],
        preset=Preset[preset.upper()],
        proposer_count=proposers,
        voter_count_max=voters,
        settings=tuple(setting or ()),
        seed=seed,
    )
    result = _run(plan, title=f"{plan.task}, {plan.attack}")
    if as_json:
        print_line(format_line(result))
    else:
        _print_result(result)


def _run_matrix(path: Path, directory: Path, *, has_plots: bool, keeps_filed: bool, as_json: bool) -> None:
    import json

    from node.simulate.campaign import PLOTS_FOLDER, REPORT_NAME, run_matrix
    from node.simulate.matrix import Cell, load_matrix

    matrix = load_matrix(path)

    def run_cell(cell: Cell, left: int) -> "SimulationResult":
        plan = cell.plan
        return _run(plan, title=f"{left} to go: {plan.task}, {plan.attack} {plan.fraction:g}, seed {plan.seed}")

    directory = directory.expanduser()
    _find_own_tasks()
    runs = run_matrix(matrix, directory, run_cell, has_plots=has_plots, keeps_filed=keeps_filed, tell=print_note)
    if as_json:
        for run in runs:
            print_line(json.dumps(run.summary, separators=(",", ":")))
        return
    print_line(f"{len(runs)} runs: {directory / REPORT_NAME}")
    if has_plots:
        print_line(f"plots: {directory / PLOTS_FOLDER}")


def _run(plan: "SimulationPlan", *, title: str) -> "SimulationResult":
    from rich.console import Console
    from rich.progress import Progress

    from node.simulate.run import run_simulation

    _find_own_tasks()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=plan.round_count)
        return run_simulation(plan, on_round=lambda _record, _state: progress.advance(bar))


def _find_own_tasks() -> None:
    """Let a task of the user's own be found in the current directory, as module:Class."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _print_result(result: "SimulationResult") -> None:
    from node.simulate.result import MemberKind

    plan, spent = result.plan, result.time
    honest, malicious = plan.node_count - plan.malicious_count, plan.malicious_count
    print_line(f"score\t{result.score_initial:.4f} to {result.score_final:.4f}, on honest members' held-out data")
    print_line(f"rounds\t{len(result.rounds)}, of which {result.rejected_count} rejected")
    print_line(f"evicted\t{result.count_evicted(MemberKind.MALICIOUS)} of {malicious} malicious members")
    print_line(f"\t{result.count_evicted(MemberKind.HONEST)} of {honest} honest members")
    if result.backdoor is not None and plan.scenario.has_backdoor:
        print_line(f"back door\tworks on {result.backdoor:.1%} of honest members' held-out examples")
    print_line(f"ledger\t{result.ledger_root}")
    share = spent.engine_s / spent.elapsed_s
    print_note(
        f"{spent.elapsed_s:.1f} s: engines and ledger {spent.engine_s:.1f} s ({share:.0%}), "
        f"training {spent.train_s:.1f} s, evaluating {spent.evaluate_s:.1f} s, aggregating {spent.aggregate_s:.1f} s"
    )
