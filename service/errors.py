"""Errors as clients see them before the first byte. After it they are terminal events.

ApiError                    status, type, code, param, message; the error object of the contract
├── BadParams               400 or 422, names field, value and limit
├── Forbidden               403
├── NotFound                404, says what exists
├── Conflict                409
├── Expired                 410, `stream_expired`
├── UnsupportedMedia        415
├── UpgradeRequired         426
├── Unauthorized            401
├── TooMany                 429 with Retry-After
└── Unavailable             503 with Retry-After
"""

from typing import Any

from workers.errors import KINDS
from workers.messages import Failed

# Of what was ended from this side with nothing to show; of any other reason 503.
ENDING_STATUS = {"cancelled": 409, "deadline": 504}


class ApiError(Exception):
    """An answer that is an error object. Raise it anywhere before the response has started."""

    status = 500
    type = "server_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.retry_after_s: int | None = None


class BadParams(ApiError):
    status = 422
    type = "invalid_request_error"

    def __init__(
        self, message: str, *, param: str | None = None, status: int = 422, code: str = "bad_params"
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status = status


class Unauthorized(ApiError):
    status = 401
    type = "authentication_error"


class Forbidden(ApiError):
    status = 403
    type = "permission_error"


class NotFound(ApiError):
    status = 404
    type = "not_found_error"


class Conflict(ApiError):
    status = 409
    type = "conflict_error"


class Expired(ApiError):
    status = 410
    type = "expired_error"


class UnsupportedMedia(ApiError):
    status = 415
    type = "invalid_request_error"


class UpgradeRequired(ApiError):
    """What is asked for is a websocket."""

    status = 426
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str = "Upgrade") -> None:
        super().__init__(message, code="upgrade_required", param=param)


class TooMany(ApiError):
    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, code: str, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(ApiError):
    status = 503
    type = "overloaded_error"

    def __init__(self, message: str, *, code: str, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


def from_failure(failure: Failed) -> ApiError:
    """The HTTP answer for a job that failed before its response had started."""
    kind = KINDS[failure.code]
    error = ApiError(failure.message, code=failure.code, param=failure.param)
    error.status, error.type = kind.status, error_type(failure.code)
    error.retry_after_s = 1 if kind.is_retryable else None
    return error


def from_ending(reason: str) -> ApiError:
    """The answer for a job that was ended before it had made what alone would be an answer."""
    error = ApiError(f"ended before there was a result: {reason}", code=reason)
    error.status = ENDING_STATUS.get(reason, 503)
    return error


def error_type(code: str) -> str:
    """The contract's `type` for a worker's error code."""
    kind = KINDS[code]
    if kind.status < 500:
        return "invalid_request_error"
    return "overloaded_error" if kind.is_retryable and kind.status == 503 else "server_error"


def failure_object(failure: Failed) -> dict[str, Any]:
    """The error object of a failure after the start; says whether trying again may help."""
    return {
        "message": failure.message,
        "type": error_type(failure.code),
        "param": failure.param,
        "code": failure.code,
        "retryable": KINDS[failure.code].is_retryable,
    }


def error_object(error: ApiError) -> dict[str, Any]:
    """The error object of the contract."""
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
