"""How deep a document from outside may nest: whatever walks or prints it afterwards is recursive."""

from typing import Final

from node.errors import ConfigError

NESTING_MAX: Final = 64
"""Tables and lists inside each other; ours need fewer than ten."""


def check_nesting(value: object, *, where: str) -> None:
    """Check a parsed document, without recursion.

    Parsers do not see to it: TOML's dotted keys nest as deep as they are long, and the limit of a parser in C may be
    higher than that of Python code.

    Args:
        value: Lists and dictionaries inside each other, and leaves.
        where: What the document is, such as a path; the error begins with it.

    Raises:
        ConfigError: More than NESTING_MAX tables and lists stand inside each other.
    """
    level = [value]
    for _ in range(NESTING_MAX):
        level = [item for node in level for item in _get_items(node) if isinstance(item, dict | list)]
        if not level:
            return
    raise ConfigError(f"{where}: tables or lists are nested too deeply, more than {NESTING_MAX} inside each other")


def _get_items(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
