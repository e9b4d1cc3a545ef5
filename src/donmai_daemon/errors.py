"""Every error this product raises on purpose.

One root, `DonmaiError`. A class names a condition, not the module that noticed it. Messages are built from
typed fields, and the fields stay readable on the exception.
"""

from __future__ import annotations

from typing import ClassVar


class DonmaiError(Exception):
    """Root of all errors raised on purpose.

    `code` is the snake_case code that the control API and `--json` output carry.
    `hint` is what the reader can do about it, one line, or None.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigInvalid(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """The configuration file does not parse or does not validate.

    `line` and `column` count from 1 and are None where no place in the file is to blame (an environment
    override, say). `key` is the dotted key, or None for a syntax error.
    """

    code = "config_invalid"

    def __init__(
        self,
        reason: str,
        *,
        key: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        where = f"line {line}, column {column}: " if line is not None else ""
        what = f"{key}: " if key else ""
        super().__init__(f"{where}{what}{reason}", hint=hint)
        self.reason = reason
        self.key = key
        self.line = line
        self.column = column


class ParamsInvalid(DonmaiError):  # noqa: N818
    """Parameters of an operation are wrong. `field` is the dotted name below `params`, `""` for all of them."""

    code = "invalid_params"

    def __init__(self, field: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"params.{field}: {problem}" if field else f"params: {problem}", hint=hint)
        self.field = field
        self.problem = problem


class UnsupportedOperation(DonmaiError):  # noqa: N818
    """This version has no such operation."""

    code = "unsupported_op"

    def __init__(self, op: str) -> None:
        super().__init__(f'unsupported mutation op "{op}" (upgrade daemon?)')
        self.op = op


class EditRefused(DonmaiError):  # noqa: N818
    """An edit of the document would not mean exactly what was intended; nothing was changed."""

    code = "edit_refused"


class AlreadyRunning(DonmaiError):  # noqa: N818
    """Another daemon holds the state directory."""

    code = "already_running"


class StateDirectoryUnusable(DonmaiError):  # noqa: N818
    """The state directory, or a file in it, cannot be used as it is (mode, owner, kind)."""

    code = "state_directory_unusable"


class DaemonNotRunning(DonmaiError):  # noqa: N818
    """No daemon answers where one was expected."""

    code = "daemon_not_running"


class DaemonSilent(DonmaiError):  # noqa: N818
    """A daemon took the connection, but its answer did not come in time or cannot be read."""

    code = "daemon_silent"


class DaemonRefused(DonmaiError):  # noqa: N818
    """The daemon answered with a status that is not 2xx. `detail` is its own error text, `answer_code` its code."""

    code = "daemon_refused"

    def __init__(self, status: int, detail: str, answer_code: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or f"the daemon answered {status}", hint=hint)
        self.status = status
        self.detail = detail
        self.answer_code = answer_code


class UsageError(DonmaiError):
    """The command line asks for something that cannot be meant."""

    code = "usage"


class InstallationFailed(DonmaiError):  # noqa: N818
    """The service cannot be installed or removed as asked; what was done before is listed, and may be done again."""

    code = "installation_failed"


class WrongState(DonmaiError):  # noqa: N818
    """The request is good, but not in the state things are in now."""

    code = "wrong_state"


class PlatformUnreachable(DonmaiError):  # noqa: N818
    """No answer came from the platform: name resolution, connection, TLS, or a deadline."""

    code = "platform_unreachable"


class PlatformRefused(DonmaiError):  # noqa: N818
    """The platform answered with a status that is not 2xx (a redirect too: redirects are never followed).

    `retry_after` is in seconds from the answer's arrival, None where the answer named none. `detail` is the
    platform's own error text, cut to 512 characters, "" where it gave none.
    """

    code = "platform_refused"

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"platform answered {status}" + (f": {detail}" if detail else ""))
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class PlatformAnswerInvalid(DonmaiError):  # noqa: N818
    """The platform answered 2xx, but not with what this request is answered with (HTML, cut, too large, no ack)."""

    code = "platform_answer_invalid"


class RegistrationTokenMissing(DonmaiError):  # noqa: N818
    """There is nothing to register with."""

    code = "registration_token_missing"


class ConfigUnwritable(DonmaiError):  # noqa: N818
    """The configuration file cannot be replaced now. Nothing was changed; trying again later is right.

    `full` says that the disk or the quota is.
    """

    code = "config_unwritable"

    def __init__(self, cause: str, *, full: bool = False, hint: str | None = None) -> None:
        super().__init__(f"the configuration file cannot be replaced: {cause}", hint=hint)
        self.cause = cause
        self.full = full


class JournalUnavailable(DonmaiError):  # noqa: N818
    """The journal cannot be written now (disk full, I/O error). Nothing was recorded; trying again later is right."""

    code = "journal_unavailable"

    def __init__(self, cause: str, *, full: bool = False) -> None:
        super().__init__(f"the journal cannot be written: {cause}")
        self.cause = cause
        self.full = full


class RequestInvalid(DonmaiError):  # noqa: N818
    """A request to the control API is not one that can be understood; the message names what is wrong with it."""

    code = "bad_request"


class NotFound(DonmaiError):  # noqa: N818
    """The thing that was asked for is not there."""

    code = "not_found"


class AddressUnavailable(DonmaiError):  # noqa: N818
    """The control API cannot listen where it was told to."""

    code = "address_unavailable"
