"""The digest of the code behind a result: what computes changes it, what only files or draws does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.simulate.provenance import ROOT, compute_code_digest, find_sources

COMPUTING = [
    "protocol/ledger/transition.py",
    "protocol/aggregation/fixed_point.py",
    "node/founding.py",
    "node/simulate/network.py",
    "node/simulate/plan.py",
    "node/attacks/vectors.py",
    "node/tasks/digits.py",
    "node/worker/laboratory.py",
]
REPORTING = ["node/simulate/report.py", "node/simulate/archive.py", "node/http/app.py", "node/commands/simulate.py"]


def copy_code(root: Path) -> Path:
    for name in ("protocol", "node"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "static"))
    return root


@pytest.mark.parametrize("name", COMPUTING)
def test_what_computes_counts(tmp_path: Path, name: str) -> None:
    one, same, changed = (copy_code(tmp_path / name) for name in ("one", "same", "changed"))
    with (changed / name).open("a", encoding="utf-8") as file:
        file.write("\nCHANGED = True\n")
    digest = compute_code_digest("digits", root=one)
    assert digest == compute_code_digest("digits", root=same) != compute_code_digest("digits", root=changed)


def test_what_reports_does_not_count() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in find_sources(ROOT)}
    assert not names & set(REPORTING)
    assert names >= set(COMPUTING)


def test_everything_that_a_run_loads_counts() -> None:
    """In a process of its own, which has loaded nothing else."""
    program = (
        "import sys\n"
        "from node.simulate.plan import SimulationPlan\n"
        "from node.simulate.run import run_simulation\n"
        "run_simulation(SimulationPlan(node_count=4, round_count=1, attack='noise', fraction=0.25))\n"
        "ours = [name for name in sys.modules if name.split('.')[0] in {'node', 'protocol'}]\n"
        "print(*(sys.modules[name].__file__ for name in ours))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(name) for name in ended.stdout.split()}
    assert len(loaded) > 50
    assert loaded - {ROOT / "node/simulate/__init__.py"} <= set(find_sources(ROOT))


def test_a_task_of_ones_own_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "task_of_our_own.py"
    path.write_text("A = 1\n")
    before = compute_code_digest("task_of_our_own:Task")
    path.write_text("A = 2\n")
    sys.modules.pop("task_of_our_own", None)
    assert len({before, compute_code_digest("task_of_our_own:Task"), compute_code_digest("digits")}) == 3
    assert compute_code_digest("nowhere.at_all:Task")
