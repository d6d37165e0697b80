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


def _id(text: str) -> str:
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")
