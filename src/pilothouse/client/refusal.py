"""What went wrong between a caller and a node, as one exception with the fields of the problem the node answered.

An answer that is no problem document (a proxy's page, another program on the port) becomes one here, so that a caller
always finds a code, a sentence and a next step.
"""

import msgspec
from msgspec import Struct, field

TEXT_LIMIT = 200


class Fault(Struct):
    path: str = ""
    message: str = ""


class Problem(Struct):
    code: str = ""
    title: str = ""
    detail: str = ""
    hint: str = ""
    run: str | None = None
    faults: list[Fault] = field(default_factory=list)


class ApiError(Exception):
    """The node refused a request. `status` 0: nobody answered."""

    def __init__(self, problem: Problem, status: int, *, retry_after: float | None = None) -> None:
        super().__init__(problem.detail or problem.title)
        self.code = problem.code
        self.title = problem.title
        self.detail = problem.detail
        self.hint = problem.hint
        self.run = problem.run
        self.faults = problem.faults
        self.status = status
        self.retry_after = retry_after


class Unreachable(ApiError):
    """Nobody answered, or the answer was cut off and could not be asked for again."""

    def __init__(self, detail: str, hint: str, run: str | None = None) -> None:
        super().__init__(Problem("unreachable", "Unreachable", detail, hint, run), 0)


def refusal(status: int, content_type: str, content: bytes, url: str, retry_after: str | None) -> ApiError:
    """The error that an answer with a status of 400 and over stands for."""
    if content_type.partition(";")[0].strip() == "application/problem+json":
        try:
            problem = msgspec.json.decode(content, type=Problem)
        except msgspec.MsgspecError:
            pass
        else:
            return ApiError(problem, status, retry_after=_seconds(retry_after))
    detail = f"{url} answered {status}, and not in the way of a Pilothouse node."
    hint = "Check the address: another program, or a proxy, seems to answer there."
    return ApiError(
        Problem(f"http_{status}", "Strange answer", detail, hint), status, retry_after=_seconds(retry_after)
    )


def strange_answer(url: str) -> ApiError:
    """The error that an answer stands for which is no JSON of ours."""
    detail = f"{url} answered something that is not of a Pilothouse node."
    return ApiError(Problem("strange_answer", "Strange answer", detail, "Check the address."), 200)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
