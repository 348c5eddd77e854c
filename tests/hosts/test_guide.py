"""The reader of guides: what a guide must be like, and that it notices when a guide and the software differ."""

from pathlib import Path

import pytest

from tests.hosts.guide import INSTITUTIONS, GuideError, Run, Send, find_missing, read_addresses, read_steps

PAGE = """\
| machine | address | is |
|---|---|---|
| ada | 192.0.2.1 | hers |

```sh
# as root on every machine
install it
```

**Ada sends** `a file` **to bob.**

```sh
# as root on ada, bob and cyd
do this
and that
```

says after a while

```text
all   is well
```

```sh
# on ada
look
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_a_page_becomes_steps(page: Path) -> None:
    assert read_addresses(page) == {"ada": "192.0.2.1"}
    assert read_steps(page) == [
        Send(sender="ada", file="a file", receiver="bob"),
        Run(
            hosts=("ada", "bob", "cyd"),
            user="root",
            script="do this\nand that\n",
            printed=("all is well",),
            is_awaited=True,
        ),
        Run(hosts=("ada",), user="pnyx", script="look\n"),
    ]


@pytest.mark.parametrize("block", ["```sh\ndo it\n```\n", "```text\nnobody prints this\n```\n"])
def test_a_block_that_belongs_to_nobody_is_refused(tmp_path: Path, block: str) -> None:
    (tmp_path / "page.md").write_text(f"**Ada sends** `it` **to bob.**\n\n{block}")
    with pytest.raises(GuideError):
        read_steps(tmp_path / "page.md")


def test_what_a_block_prints_is_compared_word_by_word() -> None:
    output = "chain\t  abc\nnode\tis well (2 of 3)\n"
    assert find_missing(("chain abc", "node is well (2 of 3)"), output, {}) is None
    assert find_missing(("chain …", "… is well …"), output, {}) is None
    assert find_missing(("chain",), output, {}) == "chain"
    assert find_missing(("node is well (2.of 3)",), output, {}) == "node is well (2.of 3)"


def test_a_placeholder_means_the_same_throughout() -> None:
    meanings: dict[str, str] = {}
    assert find_missing(("chain <chain id>",), "chain abc", meanings) is None
    assert meanings == {"chain id": "abc"}
    assert find_missing(("chain <chain id>",), "chain abc", meanings) is None
    assert find_missing(("chain <chain id>",), "chain abd", meanings) == "chain <chain id>"


def test_the_guide_for_institutions_is_read_as_a_whole() -> None:
    text = INSTITUTIONS.read_text()
    runs = [step for step in read_steps(INSTITUTIONS) if isinstance(step, Run)]
    # The installation is the one block that is not run, because it fetches gigabytes.
    assert len(runs) == text.count("```sh") - 1
    assert sum(bool(run.printed) for run in runs) == text.count("```text")
    assert {host for run in runs for host in run.hosts} == set(read_addresses(INSTITUTIONS))
