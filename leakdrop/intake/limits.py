"""Limits without addresses: how often a circuit, and all together, may ask. Why: docs/adr/0018.

A circuit of Tor is known by a name that `privacy` makes of its number with a key in memory; where there is no
such number, only the limits for all together hold. How much may come in at once is for `slots`.
"""

import logging
from collections.abc import Callable, Collection

from flask import Flask, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits import parse_many
from limits.errors import ConfigurationError

from leakdrop.config import Config
from leakdrop.errors import ConfigError
from leakdrop.intake.privacy import CIRCUIT
from leakdrop.intake.refusals import Refusal

SUBMISSIONS = frozenset({"site.submit", "site.create_upload"})
QUESTIONS = frozenset({"site.ask_for_replies", "site.delete_reply"})
NEVER_USED = "1 per second"  # Flask-Limiter takes no empty limit, even one that nobody is held to
# The limits' names in the configuration.
LIMITS = (
    "requests_per_circuit",
    "requests_in_all",
    "submissions_per_circuit",
    "submissions_in_all",
    "replies_per_circuit",
    "replies_in_all",
)


def check_limits(config: Config) -> None:
    """Raises ConfigError if a limit is not written as one, or there is no such storage."""
    for name in LIMITS:
        try:
            if value := getattr(config, name):
                parse_many(value)
        except ValueError:
            raise ConfigError(f"the value of “{name}” must be like “60 per hour”, or empty.") from None
    try:
        limit(Flask("leakdrop"), config)
    except (ConfigurationError, ModuleNotFoundError):
        raise ConfigError("the value of “limits_storage” must be like “memory://” or “redis://…”.") from None


def limit(app: Flask, config: Config) -> None:
    """Count the requests of an application; one too many raises RateLimitExceeded before any view.

    A circuit's limits come first, in a pass of their own: what they refuse counts against nobody else.
    While a storage elsewhere cannot be reached, the same limits are counted in memory.
    """
    _limit_in_one_pass(
        app,
        config,
        [
            _limit_circuit(config.requests_per_circuit, "requests"),
            _limit_circuit(config.submissions_per_circuit, "submissions", SUBMISSIONS),
            _limit_circuit(config.replies_per_circuit, "replies", QUESTIONS),
        ],
    )
    _limit_in_one_pass(
        app,
        config,
        [
            _limit_all(config.requests_in_all, "requests"),
            _limit_all(config.submissions_in_all, "submissions", SUBMISSIONS),
            _limit_all(config.replies_in_all, "replies", QUESTIONS, Refusal.ASKED_OFTEN),
        ],
    )


def _limit_in_one_pass(
    app: Flask, config: Config, limits: list[str | Callable[[], str] | ApplicationLimit]
) -> None:
    """Flask-Limiter counts the limits of one pass in the order of their windows, and stops at a breach."""
    limiter = Limiter(
        circuit_of,
        app=app,
        application_limits=limits,
        storage_uri=config.limits_storage,
        strategy="fixed-window",
        in_memory_fallback_enabled=not config.limits_storage.startswith("memory:"),
        headers_enabled=False,
    )
    limiter.logger.setLevel(logging.WARNING)  # below that it names keys


def _limit_circuit(value: str, what: str, endpoints: Collection[str] = ()) -> ApplicationLimit:
    """So often for each circuit that is known; "" is no limit, and no endpoints are all of them."""
    return ApplicationLimit(
        value or NEVER_USED,
        key_function=circuit_of,
        scope=what,
        exempt_when=lambda: not value or not circuit_of() or not _is_one_of(endpoints),
        error_message=Refusal.TOO_OFTEN.name,
    )


def _limit_all(
    value: str, what: str, endpoints: Collection[str] = (), refusal: Refusal = Refusal.BUSY
) -> ApplicationLimit:
    """So often for everybody together; "" is no limit, and no endpoints are all of them."""
    return ApplicationLimit(
        value or NEVER_USED,
        key_function=everybody,
        scope=what,
        exempt_when=lambda: not value or not _is_one_of(endpoints),
        error_message=refusal.name,
    )


def _is_one_of(endpoints: Collection[str]) -> bool:
    return not endpoints or request.endpoint in endpoints


def circuit_of() -> str:
    """The name of the circuit that a request came by; "" if none is known."""
    circuit: str | None = request.environ[CIRCUIT]
    return circuit or ""


def everybody() -> str:
    return "everybody"


def refusal_of(error: RateLimitExceeded) -> Refusal:
    """What is told: a circuit that asked too often, or a site that has too much to do."""
    return Refusal[str(error.description)]
