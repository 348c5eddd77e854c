"""TOML that people or strangers wrote, as plain values that can be walked and printed."""

import tomllib

from node.errors import ConfigError
from node.nesting import check_nesting
from protocol.codec import INT64_MIN


def parse_toml(text: str, *, where: str) -> dict[str, object]:
    """Return the values of a TOML text.

    Args:
        text: The whole document.
        where: What it is, such as a path; errors begin with it.

    Raises:
        ConfigError: It is no TOML, nests more than NESTING_MAX deep, or holds an integer of more than 64 bits.
    """
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        # Besides its own error the parser lets through what Python says of a number of too many digits.
        raise ConfigError(f"{where} is no TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: tables or lists are nested too deeply") from error
    check_nesting(values, where=where)
    _check_integers(values, where=where)
    return values


def _check_integers(value: object, *, where: str) -> None:
    """TOML's integers have 64 bits; Python's parser takes more, which neither prints nor becomes a float."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item, where=where)
    elif isinstance(value, int) and not INT64_MIN <= value < -INT64_MIN:
        raise ConfigError(f"{where} is no TOML: an integer has more than 64 bits")
