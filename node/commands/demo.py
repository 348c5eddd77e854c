"""The demo command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from node.commands.common import AggregationName, JsonOption, quiet_logs


def demo(
    nodes: Annotated[int, typer.Option(help="How many members, each a daemon of its own.")] = 7,
    malicious: Annotated[int, typer.Option(help="How many of them misbehave.")] = 2,
    attack: Annotated[
        Literal["label_flip", "sign_flip", "noise"], typer.Option(help="How they poison their updates.")
    ] = "sign_flip",
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="How many rounds to train.")] = 12,
    task: Annotated[str, typer.Option(help="What to train: digits, breast_cancer, or module:Class.")] = "digits",
    param: Annotated[list[str] | None, typer.Option(help="A task parameter key=value; may be repeated.")] = None,
    aggregation: Annotated[AggregationName, typer.Option(help="How updates join.")] = "median",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A network parameter name=value; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the data's deal and the training.")] = 1,
    keep: Annotated[
        Path | None, typer.Option(help="Keep each node's home under this directory.", file_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a real network on this machine: train, attack, vote, move stake, and check the outcome."""
    from node.config_keys import Attack
    from node.demo.plan import DemoPlan, check_plan, choose_directory
    from node.demo.show import show_demo
    from protocol.parameters import AggregationRule

    quiet_logs()
    with choose_directory(keep) as directory:
        plan = DemoPlan(
            directory=directory,
            is_kept=keep is not None,
            node_count=nodes,
            malicious_count=malicious,
            attack=Attack(attack),
            round_count=rounds,
            task=task,
            task_params=tuple(param or ()),
            settings=tuple(setting or ()),
            aggregation=AggregationRule[aggregation.upper()],
            seed=seed,
        )
        check_plan(plan)
        exit_code = show_demo(plan, as_json=as_json)
    raise typer.Exit(exit_code)
