"""How mutants and what caught them are shown: on a terminal, and as a Markdown page."""

from collections.abc import Iterable, Sequence

from tests.mutants.campaign import Outcome, Verdict
from tests.mutants.mutant import Mutant, describe_hunter, is_simulator


def format_catalogue(mutants: Sequence[Mutant]) -> str:
    """Return the table of mutants and of who hunts each."""
    rows = [
        (mutant.rule, mutant.name, ", ".join(dict.fromkeys(describe_hunter(hunter) for hunter in mutant.hunters)))
        for mutant in mutants
    ]
    return align([("rule", "mutant", "hunted by"), *rows])


def format_outcome(outcome: Outcome) -> str:
    """Return one line about a mutant."""
    mutant = outcome.mutant
    return (
        f"{mutant.rule:<4} {mutant.name:<40} {outcome.seconds:6.1f} s  {outcome.runs:4} runs  {outcome.verdict}"
        f"{'' if outcome.hunter is None else f' by {describe_catch(outcome)}'}: {shorten(outcome.message, 160)}"
    )


def format_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Return the table of what caught each mutant."""
    rows = [
        (
            outcome.mutant.rule,
            outcome.mutant.name,
            str(outcome.verdict),
            describe_catch(outcome),
            str(outcome.runs),
            f"{outcome.seconds:.1f}",
        )
        for outcome in outcomes
    ]
    return align([("rule", "mutant", "verdict", "caught by", "runs", "seconds"), *rows])


def format_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the same table for a page."""
    lines = ["| rule | mutant | caught by | runs | seconds |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        mutant = outcome.mutant
        kind = "" if outcome.hunter is None or is_simulator(outcome.hunter) else " (unit)"
        caught = f"`{describe_catch(outcome)}`{kind}" if outcome.verdict is Verdict.CAUGHT else str(outcome.verdict)
        lines.append(f"| {mutant.rule} | {mutant.name} | {caught} | {outcome.runs} | {outcome.seconds:.1f} |")
    return "\n".join(lines)


def format_end(outcomes: Sequence[Outcome]) -> str:
    """Return the last line."""
    caught = sum(outcome.verdict is Verdict.CAUGHT for outcome in outcomes)
    return f"mutants: caught {caught} of {len(outcomes)}"


def describe_catch(outcome: Outcome) -> str:
    """Return who noticed: a scenario and its seed, or a test."""
    if outcome.hunter is None:
        return ""
    if outcome.test is not None:
        return outcome.test.removeprefix("tests/")
    return describe_hunter(outcome.hunter) + ("" if outcome.seed is None else f", seed {outcome.seed}")


def shorten(text: str, length: int) -> str:
    """Return a text cut to a length."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with their columns below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(join_cells(row, widths) for row in rows)


def join_cells(cells: Iterable[str], widths: Iterable[int]) -> str:
    """Return one row."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
