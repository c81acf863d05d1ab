"""Every exception the platform raises on purpose, drawn once.

What goes here: the classes, who catches each, and the exit code a command ends with. What does not: expected
answers of the broker, which are values (`domain.broker`), and expected refusals of risk, which are values too
(`risk.engine`).

    PlatformError                     the command line prints it as one line; exit 70 unless said otherwise
    ├── ConfigurationError            a setting is wrong or missing: exit 78; nothing has been started
    ├── InputError                    bad use, or a file or value that cannot be accepted: exit 2
    ├── DataError                     bars that cannot be trusted; the asset fails and nothing is stored
    ├── Unavailable                   a peer did not answer, or cannot do it now: exit 75, try again
    │   ├── LoginRequired             a person must log in to the gateway; no retry helps
    │   ├── ShutOut                   too many requests: the gateway answers nobody for a while
    │   └── NotTrusted                the peer is not who it must be: exit 78; no retry helps
    ├── BrokerRefusal                 the broker answered, and the answer is no (reads; orders get values)
    ├── UnreadableAnswer              the broker answered something that cannot be understood
    ├── StackFailure                  a process of the embedded stack died, or did not become ready
    │   └── RunFailure                a Dagster run of the replay ended badly: exit 1
    └── LedgerConflict                the order ledger refused a change: illegal transition, stale writer, or the
        └── IdempotencyMismatch       same decision with another payload; never a second order
"""


class PlatformError(Exception):
    """Base of all expected failures. Caught by the command line only."""

    exit_code = 70


class ConfigurationError(PlatformError):
    """A setting is missing, mistyped or contradicts another one. Caught by the command line."""

    exit_code = 78


class InputError(PlatformError):
    """A value or file given by the user cannot be accepted. Caught by the command line."""

    exit_code = 2


class DataError(PlatformError):
    """Market data cannot be trusted. Fails the asset that found it."""


class Unavailable(PlatformError):
    """A peer did not answer or is not ready. Callers may try again later."""

    exit_code = 75


class LoginRequired(Unavailable):
    """The gateway's login has ended; only a person in a browser can renew it."""


class ShutOut(Unavailable):
    """The gateway answered 429 and shuts this address out for minutes. Nothing may be sent meanwhile."""


class NotTrusted(Unavailable):
    """The peer's certificate is not the one that was named. Nothing was sent to it, and nothing will be."""

    exit_code = 78


class BrokerRefusal(PlatformError):
    """The broker understood a read and said no. `status` is the HTTP status, `text` the broker's own words."""

    exit_code = 1

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(f"the broker refused ({status}): {text}")
        self.text = text
        self.status = status


class UnreadableAnswer(PlatformError):
    """The broker answered something that is not what its API promises. `status` is the HTTP status, if any."""

    exit_code = 1

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class StackFailure(PlatformError):
    """A process of the embedded stack died or did not become ready. The rest has been stopped."""


class RunFailure(StackFailure):
    """A Dagster run of the replay did not succeed."""

    exit_code = 1


class LedgerConflict(PlatformError):
    """The order ledger refused a change. The submitter stops and starts over from evidence."""


class IdempotencyMismatch(LedgerConflict):
    """A decision came again with another payload. Fails the run; never a second order."""
