"""Matrices: what their files may say, that they resume, and what reports and plots make of results."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import ConfigError
from node.json_values import JsonObject
from node.simulate import campaign, plots
from node.simulate import matrix as matrix_module
from node.simulate.archive import FiledRun, get_path, load_run
from node.simulate.campaign import run_matrix
from node.simulate.matrix import Cell, Matrix, load_matrix
from node.simulate.provenance import compute_code_digest
from node.simulate.report import compute_exhaustion_round, format_heat_map, format_report, format_spread
from node.simulate.result import MemberKind, SimulationResult
from node.simulate.run import run_simulation
from protocol.parameters import AggregationRule, Preset

ROOT = Path(__file__).parents[3]
SMALL = """
title = "small"
[defaults]
nodes = 4
rounds = 2
proposers = 2
seed = [1, 2]
[[runs]]
attack = "label_flip"
fraction = [0, 0.25]
aggregation = ["mean", "median"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "matrix.toml"
    path.write_text(text)
    return path


def run_cell(cell: Cell, _left: int) -> SimulationResult:
    return run_simulation(cell.plan)


def test_lists_stand_for_every_combination(tmp_path: Path) -> None:
    matrix = load_matrix(write(tmp_path, SMALL))
    assert matrix.title == "small"
    found = {(cell.plan.attack, cell.plan.aggregation, cell.plan.seed) for cell in matrix.cells}
    rules = (AggregationRule.MEAN, AggregationRule.MEDIAN)
    assert found == {(attack, rule, seed) for attack in ("none", "label_flip") for rule in rules for seed in (1, 2)}
    assert len(matrix.cells) == 8


def test_what_nobody_does_is_one_run(tmp_path: Path) -> None:
    text = '[[runs]]\nattack = ["label_flip", "sign_flip", "noise"]\nfraction = 0\nstrength = 2\n'
    text = text.replace('"label_flip", ', "")
    (cell,) = load_matrix(write(tmp_path, text)).cells
    assert (cell.plan.attack, cell.plan.strength) == ("none", None)


def test_parameters_are_one_list_and_several_are_lists_of_lists(tmp_path: Path) -> None:
    several = 'param = [["passes=1"], ["passes=2", "momentum=0.5"]]'
    text = f'[[runs]]\nset = ["tolerance_bps=100"]\npreset = "paper"\n{several}'
    cells = load_matrix(write(tmp_path, text)).cells
    assert [cell.plan.task_params for cell in cells] == [("passes=1",), ("passes=2", "momentum=0.5")]
    assert {(cell.plan.settings, cell.plan.preset) for cell in cells} == {(("tolerance_bps=100",), Preset.PAPER)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[runs]]\nattak = 'none'", "runs 1: unknown key 'attak' (did you mean 'attack'?)"),
        ("[[runs]]\nnodes = 'many'", "runs 1: nodes = 'many', int is expected"),
        ("[[runs]]\nnodes = true", "runs 1: nodes = True, int is expected"),
        ("[[runs]]\nattack = 'sign_flp'\nfraction = 0.3", "did you mean 'sign_flip'"),
        ("[[runs]]\naggregation = 'medain'", "did you mean 'median'"),
        ("[[runs]]\nballots = 'none'", "one of honest, inverted"),
        ("[[runs]]\nset = [1]", "set is a list of texts"),
        ("[[runs]]\nlabel = 1", "label is text"),
        ("title = 'x'", "at least one"),
        ("titel = 'x'\n[[runs]]", "unknown key 'titel'"),
        ("[[runs]", "is no TOML"),
        (f"[[runs]]\nnodes{'.a' * 1_100} = 4\n", "nested too deeply"),
        (f"[[runs]]\nnodes = {'[' * 1_100}\n", "nested too deeply"),
        (f"[[runs]]\nstrength = 0x{'f' * 400}\n", "more than 64 bits"),
        (f"[[runs]]\nstrength = {'9' * 5_000}\n", "is no TOML"),
        ("[[runs]]\nattack = 'noise'", "--attack noise needs --fraction"),
        ("[[runs]]\nballots = 'lazy'", "--ballots lazy needs --fraction"),
        ("runs = [1]", "runs 1: a table is expected"),
    ],
)
def test_a_wrong_matrix_is_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_matrix(write(tmp_path, text))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_combinations_are_counted_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_module, "_build_plan", lambda *_arguments, **_named: pytest.fail("expanded"))
    thousand = list(range(1_000))
    text = f"[[runs]]\nseed = 1\n[[runs]]\nseed = {thousand}\nrounds = {thousand}\nnodes = {thousand}\n"
    with pytest.raises(ConfigError, match="1000000001 combinations, at most 10000 are supported"):
        load_matrix(write(tmp_path, text))


@pytest.mark.parametrize("name", ["paper", "table", "quiet", "uneven", "fifty"])
def test_the_guides_matrices_are_in_order(name: str) -> None:
    matrix = load_matrix(ROOT / f"bench/attacks_{name}.toml")
    assert len({get_path(Path("out"), cell) for cell in matrix.cells}) == len(matrix.cells) >= 7


def test_a_missing_matrix_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_matrix(tmp_path / "nothing.toml")


def test_a_matrix_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    matrix = load_matrix(write(tmp_path, SMALL))
    ran: list[Cell] = []

    def stop_after_three(cell: Cell, _left: int) -> SimulationResult:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(cell)
        return run_simulation(cell.plan)

    with pytest.raises(KeyboardInterrupt):
        run_matrix(matrix, tmp_path, stop_after_three, has_plots=False)
    later: list[int] = []

    def note(cell: Cell, left: int) -> SimulationResult:
        assert cell not in ran
        later.append(left)
        return run_simulation(cell.plan)

    runs = run_matrix(matrix, tmp_path, note, has_plots=False)
    assert later == [5, 4, 3, 2, 1]
    assert len(runs) == 8
    again = run_matrix(matrix, tmp_path, lambda _cell, _left: pytest.fail("run again"), has_plots=False)
    assert again == runs


def use_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "compute_code_digest", lambda _task: "of other code")


def test_what_other_code_has_filed_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = load_matrix(write(tmp_path, SMALL))
    whole = run_matrix(matrix, tmp_path, run_cell, has_plots=False)
    (first, second, *_) = (get_path(tmp_path, cell) for cell in matrix.cells)
    document = json.loads(first.read_text())
    del document["code"]
    first.write_text(json.dumps({**document, "backdoor": 0.5}))
    second.unlink()
    ran: list[tuple[Cell, int]] = []
    told: list[str] = []

    def note(cell: Cell, left: int) -> SimulationResult:
        ran.append((cell, left))
        return run_simulation(cell.plan)

    runs = run_matrix(matrix, tmp_path, note, has_plots=False, tell=told.append)
    assert ran == [(matrix.cells[0], 2), (matrix.cells[1], 1)]
    assert told == ["1 filed results are of other code and run again"]
    assert [run.scores for run in runs] == [run.scores for run in whole]
    assert {run.code for run in runs} == {compute_code_digest("digits")}
    use_other_code(monkeypatch)
    run_matrix(matrix, tmp_path, note, has_plots=False, tell=told.append)
    assert told[1:] == ["8 filed results are of other code and run again"]
    assert len(ran) == 10


def test_what_other_code_has_filed_is_kept_on_request_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = load_matrix(write(tmp_path, SMALL))
    whole = run_matrix(matrix, tmp_path, run_cell, has_plots=False)
    assert "other code" not in (tmp_path / "report.md").read_text()
    use_other_code(monkeypatch)
    told: list[str] = []

    def refuse(_cell: Cell, _left: int) -> SimulationResult:
        pytest.fail("run again")

    kept = run_matrix(matrix, tmp_path, refuse, has_plots=False, keeps_filed=True, tell=told.append)
    assert kept == whole
    assert told == ["8 filed results are of other code and used as they are"]
    assert "8 of them are of other code" in (tmp_path / "report.md").read_text()


def test_another_plan_is_another_file(tmp_path: Path) -> None:
    (cell, *_) = load_matrix(write(tmp_path, SMALL)).cells
    others = [
        replace(cell, label="other"),
        replace(cell, plan=replace(cell.plan, settings=("tolerance_bps=1",))),
        replace(cell, plan=replace(cell.plan, split="dirichlet:0.5")),
    ]
    assert len({get_path(tmp_path, other) for other in (cell, *others)}) == 4


@pytest.mark.parametrize("content", ["{", "[]", '{"version":0}', '{"version":1}'])
def test_a_damaged_result_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="remove it, and the run is repeated"):
        load_run(path)


def make_run(**changes: object) -> FiledRun:
    summary = {
        "seed": 1,
        "task": "digits",
        "split": "iid",
        "attack": "label_flip",
        "fraction": 0.4,
        "aggregation": "median",
        "preset": "neutral",
        "score_initial": 0.5,
        "score_final": 0.75,
        "rounds_rejected": 1,
        "malicious": 2,
        "honest": 3,
        "evicted_malicious": 2,
        "evicted_honest": 0,
        "scores": [0.6, 0.75],
        **changes,
    }
    kinds = (MemberKind.HONEST,) * 3 + (MemberKind.MALICIOUS,) * 2
    return FiledRun(
        label="",
        code="c0de",
        plan={},
        summary=summary,  # type: ignore[arg-type]
        proposer_count=2,
        voter_count_max=3,
        kinds=kinds,
        stakes=((64, 64, 64, 8, 8), (65, 65, 65, 0, 0)),
        evicted=((3,), (3, 4)),
        backdoor=None,
        engine_s=1.0,
    )


def test_a_report_tells_means_and_spreads() -> None:
    runs = [make_run(), make_run(seed=2, score_final=0.85, rounds_rejected=3)]
    lines = format_report("Two seeds", runs).splitlines()
    assert lines[0] == "# Two seeds"
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells == [
        "5", "digits, iid", "label_flip", "0.4", "neutral, median", "0.500", "0.800 (0.750 to 0.850)", "0.500",
        "2.0 (1.0 to 3.0)", "2.0 of 2", "2", "0.0 of 3", "-",
    ]  # fmt: skip


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged() -> None:
    plans: list[JsonObject] = [{"strength": 1.0}, {"strength": 4.0}, {"strength": 4.0}, {"settings": ["bond_min=1"]}]
    runs = [replace(make_run(attack="sign_flip", seed=seed), plan=plan) for seed, plan in enumerate(plans)]
    lines = format_report("Strengths", runs).splitlines()
    defences = [line.strip("|").split("|")[4].strip() for line in lines[-3:]]
    assert defences == [
        "neutral, median, set bond_min=1", "neutral, median, strength 1", "neutral, median, strength 4",
    ]  # fmt: skip
    assert len(format_heat_map(runs, lambda run: run.get_number("score_final"))[1]) == 3


def test_plots_of_different_splits_have_different_names(tmp_path: Path) -> None:
    files = plots.draw_plots([make_run(), make_run(split="dirichlet:0.5")], tmp_path)
    assert len(set(files)) == len(files)


def test_spreads_are_told_where_there_are_any() -> None:
    assert format_spread([0.5, 0.5], 2) == "0.50"
    assert format_spread([0.5, 0.7], 2) == "0.60 (0.50 to 0.70)"


def test_the_round_after_which_no_attacker_is_left() -> None:
    assert compute_exhaustion_round(make_run()) == 2
    assert compute_exhaustion_round(replace(make_run(), evicted=((3,), (3,)))) is None


def test_a_heat_map_has_a_hole_where_nothing_was_run() -> None:
    runs = [make_run(), make_run(seed=2, score_final=0.85), make_run(attack="noise", aggregation="mean")]
    attacks, defences, table = format_heat_map(runs, lambda run: run.get_number("score_final"))
    assert (attacks, defences) == (["label_flip 0.4", "noise 0.4"], ["neutral, median", "neutral, mean"])
    assert table == [[pytest.approx(0.8), None], [None, 0.75]]


def test_plots_are_drawn_twice_alike(tmp_path: Path) -> None:
    runs = [make_run(), make_run(seed=2), make_run(attack="none", fraction=0.0)]
    files = [plots.draw_plots(runs, tmp_path / name) for name in ("one", "two")]
    assert [path.name for path in files[0]] == [
        "score-label-flip-0.4.png",
        "score-label-flip-0.4.svg",
        "score-none-0.png",
        "score-none-0.svg",
        "stake-label-flip-0.4-neutral-median-digits-iid-5.png",
        "stake-label-flip-0.4-neutral-median-digits-iid-5.svg",
        "final-scores.png",
        "final-scores.svg",
    ]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.read_bytes().startswith(b"\x89PNG" if one.suffix == ".png" else b"<?xml")


def test_missing_matplotlib_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    matrix = Matrix(title="x", cells=())
    with pytest.raises(ConfigError, match=r"pip install 'pnyx\[plots\]'"):
        run_matrix(matrix, tmp_path, run_cell, has_plots=True)


def test_the_command_runs_a_matrix_and_prints_a_line_for_each_run(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("seed = [1, 2]", "seed = 1").replace('["mean", "median"]', '"mean"'))
    command = [sys.executable, "cli.py", "simulate", "--matrix", str(path), "--output", str(tmp_path / "out")]
    first = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert [line["fraction"] for line in lines] == [0.0, 0.25]
    assert "label_flip" in (tmp_path / "out/report.md").read_text()
    assert (tmp_path / "out/plots/final-scores.png").exists()
    second = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout == first.stdout


def test_a_matrix_needs_a_place_for_its_results(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    command = [sys.executable, "cli.py", "simulate", "--matrix", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--output DIR" in done.stderr
