"""Runs a matrix: what this code has filed already is left alone, and the report covers all that is there in the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError
from node.simulate.archive import FiledRun, file_result, get_path, load_run
from node.simulate.matrix import Cell, Matrix
from node.simulate.plots import check_plotting, draw_plots
from node.simulate.provenance import compute_code_digest
from node.simulate.report import format_report
from node.simulate.result import SimulationResult

REPORT_NAME: Final = "report.md"
PLOTS_FOLDER: Final = "plots"


def run_matrix(
    matrix: Matrix,
    directory: Path,
    run_cell: Callable[[Cell, int], SimulationResult],
    *,
    has_plots: bool,
    keeps_filed: bool = False,
    tell: Callable[[str], None] = lambda _line: None,
) -> tuple[FiledRun, ...]:
    """Run what is missing of a matrix, file it, and write the report and the plots.

    Args:
        matrix: What to run.
        directory: Where results are filed.
        run_cell: Runs a cell, given how many are left to run with it.
        has_plots: Whether to draw plots.
        keeps_filed: Whether results that other code has filed are good enough; they are run again otherwise.
        tell: Tells people about such results.

    Raises:
        ConfigError: Plots cannot be drawn, a filed result is damaged, or a run cannot be made.
    """
    if has_plots:
        check_plotting()
    paths = {cell: get_path(directory, cell) for cell in matrix.cells}
    codes = {cell: compute_code_digest(cell.plan.task) for cell in matrix.cells}
    filed = {cell: load_run(path) for cell, path in paths.items()}
    missing = [cell for cell, run in filed.items() if run is None]
    others = [cell for cell, run in filed.items() if run is not None and run.code != codes[cell]]
    if others:
        what = "used as they are" if keeps_filed else "run again"
        tell(f"{len(others)} filed results are of other code and {what}")
    due = missing if keeps_filed else [cell for cell in matrix.cells if cell in {*missing, *others}]
    for done, cell in enumerate(due):
        file_result(paths[cell], cell, run_cell(cell, len(due) - done), code=codes[cell])
    runs: list[FiledRun] = []
    for path in paths.values():
        run = load_run(path)
        if run is None:
            raise ConfigError(f"{path} was removed while the matrix ran: run it again")
        runs.append(run)
    stale_count = len(others) if keeps_filed else 0
    directory.mkdir(parents=True, exist_ok=True)
    save_file(directory / REPORT_NAME, format_report(matrix.title, runs, stale_count=stale_count).encode())
    if has_plots:
        draw_plots(runs, directory / PLOTS_FOLDER)
    return tuple(runs)
