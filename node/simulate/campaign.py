"""Runs a matrix: what is filed already is left alone, and the report covers all that is there in the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError
from node.simulate.archive import FiledRun, file_result, get_path, load_run
from node.simulate.matrix import Cell, Matrix
from node.simulate.plots import check_plotting, draw_plots
from node.simulate.report import format_report
from node.simulate.result import SimulationResult

REPORT_NAME: Final = "report.md"
PLOTS_FOLDER: Final = "plots"


def run_matrix(
    matrix: Matrix, directory: Path, run_cell: Callable[[Cell, int], SimulationResult], *, has_plots: bool
) -> tuple[FiledRun, ...]:
    """Run what is missing of a matrix, file it, and write the report and the plots.

    Args:
        matrix: What to run.
        directory: Where results are filed.
        run_cell: Runs a cell, given how many are left to run with it.
        has_plots: Whether to draw plots.

    Raises:
        ConfigError: Plots cannot be drawn, a filed result is damaged, or a run cannot be made.
    """
    if has_plots:
        check_plotting()
    paths = {cell: get_path(directory, cell) for cell in matrix.cells}
    missing = [cell for cell, path in paths.items() if load_run(path) is None]
    for done, cell in enumerate(missing):
        file_result(paths[cell], cell, run_cell(cell, len(missing) - done))
    runs: list[FiledRun] = []
    for path in paths.values():
        run = load_run(path)
        if run is None:
            raise ConfigError(f"{path} was removed while the matrix ran: run it again")
        runs.append(run)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(directory / REPORT_NAME, format_report(matrix.title, runs).encode())
    if has_plots:
        draw_plots(runs, directory / PLOTS_FOLDER)
    return tuple(runs)
