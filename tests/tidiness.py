"""Finders for what no linter knows of the house style (docs/STYLE.md): each returns one line per offence.

They take source text rather than paths, so that tests/test_tidy.py can show each of them something to find.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = Path(__file__).resolve().parent.parent
CODE_FOLDERS: Final = ("protocol", "node", "tests", "bench", "examples")
TEXT_FOLDERS: Final = (*CODE_FOLDERS, "docs", ".ci")
TEXT_SUFFIXES: Final = frozenset({".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".html", ".css", ".js", ".sh"})
TEXT_NAMES: Final = frozenset({"Makefile", "Dockerfile", "LICENSE", "run", ".gitignore", ".dockerignore"})

MODULE_LINES_MAX: Final = 350
FUNCTION_LINES_MAX: Final = 60
ARGUMENT_COUNT_MAX: Final = 6

CORE_BASES: Final = frozenset({"Enum", "IntEnum", "StrEnum", "IntFlag", "NamedTuple", "Protocol", "Generic"})
UNREPEATABLE_CALLS: Final = frozenset({"hash", "id", "open", "print", "input", "vars", "dir", "eval", "exec"})

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def iterate_modules(*folders: str) -> Iterator[Path]:
    """Yield every Python module of the given folders, and ``cli.py`` when asked for the folder ``.``."""
    for folder in folders:
        paths = ROOT.glob("*.py") if folder == "." else (ROOT / folder).rglob("*.py")
        yield from sorted(path for path in paths if "__pycache__" not in path.parts)


def _is_text(path: Path) -> bool:
    return path.is_file() and (path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES)


def iterate_texts() -> Iterator[Path]:
    """Yield every text file that the project writes by hand."""
    yield from sorted(path for path in ROOT.iterdir() if _is_text(path))
    for folder in TEXT_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if _is_text(path):
                yield path


def _iterate_functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _count_arguments(function: Function) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(names) - (1 if names[:1] in (["self"], ["cls"]) else 0)


def _is_command(function: Function) -> bool:
    """Return whether the arguments are options of the command line, of which there may be more."""
    return "Option" in ast.unparse(function.args)


def find_oversize(source: str) -> list[str]:
    """Find a module, functions or argument lists over the limits of STYLE.md's section on size."""
    found = []
    line_count = len(source.splitlines())
    if line_count > MODULE_LINES_MAX:
        found.append(f"1: {line_count} lines; split the module at {MODULE_LINES_MAX}")
    for function in _iterate_functions(source):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            found.append(f"{function.lineno}: {function.name} has {length} lines, not {FUNCTION_LINES_MAX}")
        count = _count_arguments(function)
        if count > ARGUMENT_COUNT_MAX and not _is_command(function):
            found.append(f"{function.lineno}: {function.name} takes {count} arguments, not {ARGUMENT_COUNT_MAX}")
    return found


def find_broad_excepts(source: str) -> list[str]:
    """Find handlers that catch everything, re-raising or not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {"everything"} if node.type is None else set(re.findall(r"\w+", ast.unparse(node.type)))
        if caught & {"everything", "Exception", "BaseException"}:
            found.append(f"{node.lineno}: catches {', '.join(sorted(caught))}; catch the narrowest class")
    return found


def find_floats(source: str) -> list[str]:
    """Find float literals, conversions and true divisions: what they give may differ between two machines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{node.lineno}: float literal {node.value}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
            found.append(f"{node.lineno}: float() is not for the core")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{node.lineno}: true division; use // and say which way it rounds")
    return found


def find_impurities(source: str) -> list[str]:
    """Find what makes the core wait, differ between processes: async, hash(), sets in their own order."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"{node.lineno}: the core never waits")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNREPEATABLE_CALLS:
            found.append(f"{node.lineno}: {node.func.id}() is not for the core")
        iterated = node.iter if isinstance(node, ast.For | ast.comprehension) else None
        is_set_call = isinstance(iterated, ast.Call) and ast.unparse(iterated.func) in {"set", "frozenset"}
        if iterated is not None and (isinstance(iterated, ast.Set | ast.SetComp) or is_set_call):
            found.append(f"{iterated.lineno}: iterate a set through sorted(...)")
    return found


def find_hierarchies(source: str) -> list[str]:
    """Find inheritance from anything but an error or a standard marker."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for base in node.bases:
            name = ast.unparse(base).split("[")[0].split(".")[-1]
            is_error = name.endswith(("Exception", "Error", "Message", "Operation", "Block", "Violation"))
            if name not in CORE_BASES and not is_error:
                found.append(f"{node.lineno}: {node.name} inherits from {name}; compose instead")
    return found


UNFINISHED: Final = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|NotImplementedErro[r])\b")
DISABLED: Final = re.compile(r"\b(ski[p]|skipi[f]|xfai[l]|importorski[p])\s*\(|mark\.(skip|xfail)|no cove[r]")
MACHINE_PATH: Final = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]+|opt/(pypi|wheels))(/|\b)")


def find_pattern(source: str, pattern: re.Pattern[str]) -> list[str]:
    """Find the lines that a pattern matches."""
    lines = enumerate(source.splitlines(), start=1)
    return [f"{number}: {match.group(0).strip()}" for number, line in lines if (match := pattern.search(line))]


LINK: Final = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")


def find_link_targets(page: str) -> list[str]:
    """Return the relative targets of a Markdown page's links."""
    return LINK.findall(page)


RULE: Final = re.compile(
    r"^- \*\*(?P<rule>[LFBCW]\d{1,2})\.\*\*(?P<text>(?:.*\n)(?:(?!- \*\*|#).*\n)*)", re.MULTILINE
)
RULE_NAME: Final = re.compile(r"(?<![A-Za-z0-9])([LFBCW](?:[1-9]|1\d))(?![A-Za-z0-9])")
NOT_BUILT: Final = "Not built yet."


def load_rules() -> dict[str, bool]:
    """Return every rule that docs/spec numbers, and whether it is built."""
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/spec").glob("*.md"))]
    rules = [match for page in pages for match in RULE.finditer(page)]
    return {rule["rule"]: NOT_BUILT not in " ".join(rule["text"].split()) for rule in rules}


def load_rules_named_in(paths: Iterable[Path]) -> set[str]:
    """Return every rule number that some modules name."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return {name for text in texts for name in RULE_NAME.findall(text)}
