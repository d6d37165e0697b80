"""What the exit code of a command says: one table for all commands, for scripts that must decide what to do next.

Errors are sorted by what a caller can do about them, not by where they come from. docs/reference/cli.md has the same
table, and tests see to it that both are complete.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The numbers never change their meaning. 2 is click's own."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    REFUSED = 5
    UNAVAILABLE = 6
    OPERATOR = 7
    CANCELLED = 8
    NOT_OVER = 9
    FAULT = 70
    INTERRUPTED = 130


CODES: dict[Exit, str] = {
    Exit.FAILED: "agent_failed invalid_output host_lost deadline_exceeded release_changed journal_diverged step_failed "
    "step_timeout unknown_outcome signal_timeout call_failed not_undone not_kept outside_step audit_invalid "
    "budget_exceeded "
    "egress_denied secret_refused blocked_loop action_denied scratch_refused hot_store_unavailable",
    Exit.NOT_FOUND: "agent_not_found run_not_found session_not_found review_not_found step_not_found route_not_found "
    "delivery_not_found schedule_not_found source_not_found dead_letter_not_found key_not_found "
    "policy_not_found hold_not_found not_on_record",
    Exit.CONFLICT: "run_exists run_ended run_active session_busy session_exists state_conflict review_closed "
    "idempotency_mismatch files_exist schedule_exists policy_unsigned held "
    "override_conflict not_declared not_evaluated",
    Exit.REFUSED: "malformed_request invalid_input too_large bad_cursor limit_reached unauthenticated forbidden "
    "unsupported webhook_refused schedule_refused signature_refused method_not_allowed media_type_refused "
    "upgrade_required client_gone vote_refused link_refused policy_invalid",
    Exit.UNAVAILABLE: "unreachable overloaded tenant_overloaded draining host_unavailable worker_lost "
    "records_unavailable keys_unavailable request_timeout",
    Exit.OPERATOR: "settings_invalid target_invalid environment_failed records_locked records_invalid "
    "address_refused address_in_use",
    Exit.CANCELLED: "cancelled",
    Exit.FAULT: "internal",
}
EXIT_OF_CODE = {code: leaves for leaves, codes in CODES.items() for code in codes.split()}
EXIT_OF_STATUS = {404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 429: Exit.UNAVAILABLE, 503: Exit.UNAVAILABLE}
EXIT_OF_RUN = {"succeeded": Exit.DONE, "failed": Exit.FAILED, "cancelled": Exit.CANCELLED}


def exit_of_error(code: str, status: int = 0) -> Exit:
    """The exit for an error; one that this version does not know is sorted by its HTTP status."""
    known = EXIT_OF_CODE.get(code) or EXIT_OF_STATUS.get(status)
    if known is not None:
        return known
    return Exit.REFUSED if 400 <= status < 500 else Exit.FAULT


def exit_of_run(status: str) -> Exit:
    return EXIT_OF_RUN.get(status, Exit.NOT_OVER)
