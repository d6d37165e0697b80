"""The part of the client that people in charge use: overrides, and what follows from them.

Mixed into `Client`, which has the wire and is the only class that others see.
"""

from typing import Any
from urllib.parse import quote

from pilothouse.client.http import Wire
from pilothouse.client.shape import OverridePage, Review, Run


class Oversight:
    _wire: Wire

    def override_run(self, run: str, reason: str, **correction: Any) -> Run:
        """`correction` is any of `output`, `compensate` and `superseded`."""
        return self._wire.call(Run, "POST", f"/v1/runs/{_id(run)}/override", body={"reason": reason} | correction)

    def override_review(self, review: str, verdict: str, reason: str, **answer: Any) -> Review:
        """`answer` is `edited` for the verdict edit, `response` for respond; `compensate` and `superseded` for any."""
        body = {"verdict": verdict, "reason": reason} | answer
        return self._wire.call(Review, "POST", f"/v1/reviews/{_id(review)}/override", body=body)

    def list_overrides(self, id: str) -> OverridePage:
        """Of a run or of a review, as the id says."""
        kind = "reviews" if id.startswith("rev_") else "runs"
        return self._wire.call(OverridePage, "GET", f"/v1/{kind}/{_id(id)}/overrides")

    # --- appeals and incidents --------------------------------------------------------------------------------------

    def file_appeal(self, run: str, reason: str, **appeal: Any) -> Review:
        """`appeal` is any of `review` (the decision that is not accepted) and `asks` (what should have come out)."""
        return self._wire.call(Review, "POST", f"/v1/runs/{_id(run)}/appeals", body={"reason": reason} | appeal)

    def open_incident(self, happened: str, **about: str) -> Review:
        """`about` is any of `agent`, `run` and `hold`."""
        return self._wire.call(Review, "POST", "/v1/incidents", body={"happened": happened} | about)

    # --- sampling and bias ------------------------------------------------------------------------------------------

    def get_sampling(self, agent: str) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", f"/v1/agents/{_id(agent)}/sampling")

    def set_sampling(self, agent: str, **plan: Any) -> dict[str, Any]:
        """`plan` is `rate`, and any of `strata`, `minimum`, `period_seconds`, `capacity`, `when_full` and `role`."""
        return self._wire.call(dict[str, Any], "PUT", f"/v1/agents/{_id(agent)}/sampling", body=plan)

    def drop_sampling(self, agent: str) -> None:
        self._wire.call(type(None), "DELETE", f"/v1/agents/{_id(agent)}/sampling")

    def seed_case(self, agent: str, input: Any, output: Any, *, right: bool) -> None:
        """A known case among those to be reviewed."""
        body = {"input": input, "output": output, "right": right}
        self._wire.call(type(None), "POST", f"/v1/agents/{_id(agent)}/sampling/known", body=body)

    def list_reviewers(self, agent: str) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", f"/v1/agents/{_id(agent)}/sampling/reviewers")

    def record_groups(self, run: str, groups: dict[str, str], *, label: bool | None = None) -> dict[str, Any]:
        """Of whom the run is about: kept beside it, and never shown again."""
        body = {"groups": groups, "label": label}
        return self._wire.call(dict[str, Any], "PUT", f"/v1/runs/{_id(run)}/groups", body=body)

    def audit_bias(self, agent: str, **asked: Any) -> dict[str, Any]:
        """`asked` is any of `since`, `until`, `minimum`, `confidence` and `outcomes`."""
        return self._wire.call(dict[str, Any], "POST", f"/v1/agents/{_id(agent)}/bias", body=asked)

    def get_bias_audit(self, audit: str) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", f"/v1/bias/audits/{_id(audit)}")

    def list_bias_audits(self, **page: Any) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/bias/audits", params=page)

    def list_findings(self, **page: Any) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/bias/findings", params=page)

    def move_finding(self, finding: str, state: str, reason: str) -> dict[str, Any]:
        body = {"state": state, "reason": reason}
        return self._wire.call(dict[str, Any], "POST", f"/v1/bias/findings/{_id(finding)}", body=body)

    # --- examples, datasets, evaluations ----------------------------------------------------------------------------

    def give_feedback(self, run: str, **said: Any) -> dict[str, Any]:
        """`said` is `kind` (thumb, rating, correction) with `value` or `expected`, and may have a `comment`."""
        return self._wire.call(dict[str, Any], "POST", f"/v1/runs/{_id(run)}/feedback", body=said)

    def list_examples(self, **page: Any) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/examples", params=page)

    def erase_subject(self, subject: str) -> dict[str, Any]:
        """Erases the subject; says how many of its `runs`, `sessions` and `examples` went."""
        return self._wire.call(dict[str, Any], "DELETE", f"/v1/subjects/{_id(subject)}")

    def list_datasets(self) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/datasets")

    def make_dataset(self, name: str, **choice: Any) -> dict[str, Any]:
        """`choice` is `agent`, and any of `sources`, `score_from`, `corrected` and `test_share`."""
        return self._wire.call(dict[str, Any], "POST", f"/v1/datasets/{_id(name)}", body=choice)

    def read_dataset(self, name: str, number: str = "last") -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", f"/v1/datasets/{_id(name)}/{_id(number)}")

    def keep_evaluation(self, **handed: Any) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "POST", "/v1/evaluations", body=handed)

    def list_evaluations(self, **page: Any) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/evaluations", params=page)

    def get_evaluation(self, evaluation: str) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", f"/v1/evaluations/{_id(evaluation)}")

    def compare_evaluations(self, evaluation: str, *, to: str) -> dict[str, Any]:
        """With the earlier one `to`."""
        path = f"/v1/evaluations/{_id(evaluation)}/comparison"
        return self._wire.call(dict[str, Any], "GET", path, params={"to": to})


def _id(text: str) -> str:
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")
