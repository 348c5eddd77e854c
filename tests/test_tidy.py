"""The house style's mechanical part, as far as no linter knows it; docs/STYLE.md gives the reasons."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tidiness
from tests.tidiness import ROOT, iterate_modules, iterate_texts

TOOLS_OF_THIS_TEST = {ROOT / "tests/tidiness.py", ROOT / "tests/test_tidy.py"}
FLOAT_ROOM = ROOT / "protocol/aggregation"


def collect(paths: list[Path], find: Callable[[str], list[str]]) -> list[str]:
    offences = []
    for path in paths:
        source = path.read_text(encoding="utf-8")
        offences += [f"{path.relative_to(ROOT)}:{offence}" for offence in find(source)]
    return offences


def expect_none(offences: list[str]) -> None:
    if offences:
        pytest.fail("\n".join(offences), pytrace=False)


def test_modules_functions_and_argument_lists_stay_small() -> None:
    expect_none(collect(list(iterate_modules(".", *tidiness.CODE_FOLDERS)), tidiness.find_oversize))


def test_nothing_catches_everything() -> None:
    expect_none(collect(list(iterate_modules(".", "protocol", "node", "bench")), tidiness.find_broad_excepts))


def test_the_core_computes_with_integers_only() -> None:
    modules = [path for path in iterate_modules("protocol") if not path.is_relative_to(FLOAT_ROOM)]
    assert len(modules) > 20
    expect_none(collect(modules, tidiness.find_floats))


def test_the_core_never_waits_and_repeats_itself_in_every_process() -> None:
    expect_none(collect(list(iterate_modules("protocol")), tidiness.find_impurities))


def test_the_core_has_no_class_hierarchies() -> None:
    expect_none(collect(list(iterate_modules("protocol")), tidiness.find_hierarchies))


def test_nothing_is_left_for_later() -> None:
    texts = [path for path in iterate_texts() if path not in TOOLS_OF_THIS_TEST]
    expect_none(collect(texts, lambda source: tidiness.find_pattern(source, tidiness.UNFINISHED)))


def test_no_test_is_switched_off() -> None:
    modules = [path for path in iterate_modules("tests") if path not in TOOLS_OF_THIS_TEST]
    expect_none(collect(modules, lambda source: tidiness.find_pattern(source, tidiness.DISABLED)))


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    texts = [path for path in iterate_texts() if path not in TOOLS_OF_THIS_TEST]
    expect_none(collect(texts, lambda source: tidiness.find_pattern(source, tidiness.MACHINE_PATH)))


def test_every_rule_that_is_built_is_named_in_a_test() -> None:
    built = {rule for rule, is_built in tidiness.load_rules().items() if is_built}
    assert len(built) > 30
    tests = {path for path in iterate_modules("tests") if path.name.startswith("test_")} - TOOLS_OF_THIS_TEST
    expect_none([f"no test names rule {rule}" for rule in sorted(built - tidiness.load_rules_named_in(tests))])


def test_every_rule_that_the_code_names_is_in_the_specification() -> None:
    named = tidiness.load_rules_named_in(iterate_modules(".", "protocol", "node"))
    assert "F4" in named
    expect_none(sorted(named - tidiness.load_rules().keys()))


def test_every_page_that_a_page_links_to_exists() -> None:
    pages = [path for path in iterate_texts() if path.suffix == ".md"]
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in tidiness.find_link_targets(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    expect_none(missing)


@pytest.mark.parametrize(
    ("find", "source"),
    [
        pytest.param(tidiness.find_oversize, "\n" * 351, id="module length"),
        pytest.param(tidiness.find_oversize, "def f():\n" + "    x = 1\n" * 60, id="function length"),
        pytest.param(tidiness.find_oversize, "def f(a, b, c, d, *, e, f, g): ...", id="argument count"),
        pytest.param(tidiness.find_broad_excepts, "try: f()\nexcept (OSError, Exception): raise", id="broad except"),
        pytest.param(tidiness.find_broad_excepts, "try: f()\nexcept: raise", id="bare except"),
        pytest.param(tidiness.find_floats, "x = 0.5", id="float literal"),
        pytest.param(tidiness.find_floats, "x = a / b", id="true division"),
        pytest.param(tidiness.find_impurities, "async def f(): ...", id="async"),
        pytest.param(tidiness.find_impurities, "x = hash(b'')", id="hash()"),
        pytest.param(tidiness.find_impurities, "x = [y for y in set(z)]", id="set in its own order"),
        pytest.param(tidiness.find_hierarchies, "class A(B): ...", id="class hierarchy"),
    ],
)
def test_a_finder_finds_an_offence(find: Callable[[str], list[str]], source: str) -> None:
    assert len(find(source)) == 1


def test_the_patterns_match_what_they_are_for() -> None:
    assert tidiness.UNFINISHED.search("x = 1  # TO" + "DO: later")
    assert tidiness.DISABLED.search("@pytest.mark.sk" + "ip")
    assert tidiness.DISABLED.search("pytest.sk" + "ip('why')")
    assert tidiness.MACHINE_PATH.search("see /wo" + "rk/main")
    assert not tidiness.MACHINE_PATH.search("network/work/main")
