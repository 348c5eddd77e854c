"""Log lines on standard error, for people or as JSON; digests and identifiers print as 8 hex digits."""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from node.config_keys import LogFormat, LogLevel

DIGEST_HEX_DIGITS: Final = 8

_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}

_LIBRARIES: Final = ("libp2p", "multiaddr", "async_service")
"""They log every dropped connection as an error; what matters of it, this node says itself."""


def configure_logs(log_format: LogFormat, log_level: LogLevel) -> None:
    """Set up logging of the whole process, ours through structlog and that of libraries; call it once, at the start."""
    level = _LEVELS[log_level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        shorten_identifiers,
    ]
    if log_format is LogFormat.JSON:
        shared += [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(sort_keys=True)]
    else:
        shared.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        stream=sys.stderr, level=max(level, logging.WARNING), format="%(levelname)s %(name)s: %(message)s"
    )
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def shorten_identifiers(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Print every byte string of a log line as its first 8 hex digits, in lists and tuples as well."""
    return {name: _shorten(value) for name, value in event.items()}


def _shorten(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()[:DIGEST_HEX_DIGITS]
    if isinstance(value, list | tuple):
        return [_shorten(item) for item in value]
    return value
