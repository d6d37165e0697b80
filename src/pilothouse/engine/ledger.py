"""The accounts behind budgets: what runs, sessions, agents and tenants have used and reserved, in memory and kept.

An account is read from the records when it is first looked at. Where one node has the records, its memory is from then
on the truth that calls are judged by. Where several share them, an account is read again before a call when it was not
read for a second, and before every call that comes near a cap; so what may be passed over is what calls that other
nodes have under way turn out to use, and, far from the cap, what they used in that second. What is settled goes into
the next Change of the attempt that used it, so a step and what it cost are durable together; what is only reserved is
lost with the node, and its calls are asked for again by their runs.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from msgspec import Struct, field

from pilothouse.domain.budget import Amounts, Budget, Hit, Verdict, judge, period_key
from pilothouse.domain.run import Run
from pilothouse.ports.change import AddSpend
from pilothouse.ports.outgoing import Denial

ACCOUNTS_LIMIT = 20_000
"""Accounts in memory; those that nobody uses are forgotten, oldest first, and read again when needed."""

WORDS = {
    "tokens": "tokens", "cost_usd": "US dollars", "model_calls": "model calls", "tool_calls": "tool calls",
    "steps": "steps", "wall_seconds": "seconds",
}  # fmt: skip


READ_AGAIN_AFTER = 1.0
"""Seconds that an account which several nodes add to is believed far from its caps."""
NEAR = 0.9
ROOM = 10
"""A cap is near from this share of it on, less room for so many calls like the one asked for: the account is then
read before every call."""
FORGOTTEN_AFTER = 60.0
"""Seconds after which what this node has settled is in the records, or will never be (its attempt lost its lease)."""


class AccountKey(Struct, frozen=True):
    tenant: str
    scope: str
    name: str
    period: str


class Fresh(Struct):
    """What this node has settled and may not yet have read back. `kept`: the number of the moment at which it was
    durable. `is_unclear`: it was settled before the last read ended, so that may or may not hold it."""

    amounts: Amounts
    at: float
    kept: int | None = None
    is_unclear: bool = False


class Account(Struct):
    spent: Amounts = field(default_factory=Amounts)
    reserved: Amounts = field(default_factory=Amounts)
    in_flight: int = 0
    is_loaded: bool = False
    is_loading: bool = False
    began: dict[int, float] = field(default_factory=dict)
    """Attempts that run on it, and since when in seconds: only where wall time is capped."""
    read_at: float = float("-inf")
    """When the last read began, in seconds; and its moment."""
    read: int = 0
    fresh: list[Fresh] = field(default_factory=list)
    """Only where several nodes add to it; `spent` is then what was read."""

    def used(self, now: float) -> Amounts:
        """What is certainly spent, with the time of attempts that still run."""
        if not self.began and not self.fresh:
            return self.spent
        found = msgspec.structs.replace(self.spent)
        for one in self.fresh:
            if not one.is_unclear:
                found.add(one.amounts)
        found.wall_seconds += sum(max(0.0, now - began) for began in self.began.values())
        return found

    def unclear(self) -> list[Amounts]:
        return [one.amounts for one in self.fresh if one.is_unclear]


class Spender(Protocol):
    """The attempt that uses something."""

    run: Run

    def keep_spend(self, rows: list[AddSpend], kept: Callable[[], None]) -> None:
        """These become durable with what the attempt tells next, or at once when it is over; then `kept` is called."""
        ...


class Ledger:
    """`budgets` by agent; `tenant` holds for every tenant. `now` gives microseconds since 1970. `is_shared`: other
    nodes add to the same accounts."""

    def __init__(
        self,
        budgets: dict[str, tuple[Budget, ...]] | None = None,
        tenant: tuple[Budget, ...] = (),
        is_shared: bool = False,
    ) -> None:
        self._is_shared = is_shared
        self._moment = 0
        self._budgets = budgets or {}
        self._tenant = tenant
        self._timed = {name for name, found in self._budgets.items() if _caps_time(found)}
        self._is_timed = _caps_time(tenant)
        self._accounts: dict[AccountKey, Account] = {}
        self.now: Callable[[], int] = lambda: 0
        self.load: Callable[[AccountKey], None] = lambda key: None
        """Reads an account and says so with `loaded`."""
        self.on_kept: Callable[[], None] = lambda: None
        """What this node has settled is durable: calls that wait may be judged again."""

    def budgets_of(self, agent: str) -> tuple[Budget, ...]:
        return (*self._budgets.get(agent, ()), *self._tenant)

    def _found(self, spender: Spender) -> list[tuple[Budget, AccountKey, Account]]:
        run = spender.run
        return [
            (budget, key, self._account(key, run))
            for budget in self.budgets_of(run.agent)
            if (key := self._key(budget, run)) is not None
        ]

    def _key(self, budget: Budget, run: Run) -> AccountKey | None:
        day = datetime.fromtimestamp(self.now() / 1e6, UTC).date().isoformat()
        match budget.scope:
            case "run":
                return AccountKey(run.tenant, "run", run.id, "")
            case "session" if run.session is None:
                return None
            case "session":
                return AccountKey(run.tenant, "session", f"{run.agent}/{run.session}", period_key(budget.period, day))
            case "agent":
                return AccountKey(run.tenant, "agent", run.agent, period_key(budget.period, day))
        return AccountKey(run.tenant, "tenant", "", period_key(budget.period, day))

    def _account(self, key: AccountKey, run: Run) -> Account:
        account = self._accounts.get(key)
        if account is None:
            self._make_room()
            account = self._accounts[key] = Account()
            account.is_loaded = key.scope == "run" and run.epoch <= 1
        return account

    def _make_room(self) -> None:
        if len(self._accounts) < ACCOUNTS_LIMIT:
            return
        for key, account in list(self._accounts.items())[: ACCOUNTS_LIMIT // 10]:
            if not (account.in_flight or account.began or account.is_loading):
                del self._accounts[key]

    # --- before a call ---

    def judge(
        self, spender: Spender, wish: Amounts, raised: dict[str, int], asked: int = 0
    ) -> tuple[Verdict, Denial | None]:
        """`asked`: the moment at which the call was asked for; near a cap it is judged by what is read after that."""
        verdict: Verdict = "go"
        now = self.now() / 1e6
        for budget, key, account in self._found(spender):
            if self._has_others(key) and self._is_stale(budget, account, wish, asked, now):
                account.is_loaded = False
            self._read(key, account)
            if not account.is_loaded:
                verdict = "wait"
                continue
            used = account.used(now)
            said, hit = judge(budget, used, account.reserved, account.in_flight, wish, raised)
            if said == "over" and hit is not None:
                return "over", refusal(budget, hit, spender.run)
            if said == "wait" or self._may_be_over(budget, used, account, wish, raised):
                verdict = "wait"
        return verdict, None

    def moment(self) -> int:
        """A number for now: what has a smaller one was before."""
        self._moment += 1
        return self._moment

    def _has_others(self, key: AccountKey) -> bool:
        """Whether other nodes add to it; a run is on one node at a time."""
        return self._is_shared and key.scope != "run"

    @staticmethod
    def _is_stale(budget: Budget, account: Account, wish: Amounts, asked: int, now: float) -> bool:
        if now - account.read_at > READ_AGAIN_AFTER:
            return True
        if account.read > asked:
            return False
        used = account.used(now)
        return any(
            getattr(used, name) + getattr(account.reserved, name) + ROOM * getattr(wish, name) > NEAR * cap
            for name, cap in budget.caps.items()
        )

    @staticmethod
    def _may_be_over(budget: Budget, used: Amounts, account: Account, wish: Amounts, raised: dict[str, int]) -> bool:
        """Whether it would be too much if the read did not hold what this node settled beside it."""
        unclear = account.unclear()
        if not unclear:
            return False
        most = msgspec.structs.replace(used)
        for one in unclear:
            most.add(one)
        return judge(budget, most, account.reserved, account.in_flight, wish, raised)[0] != "go"

    def _read(self, key: AccountKey, account: Account) -> None:
        if not account.is_loaded and not account.is_loading:
            account.is_loading = True
            account.read_at = self.now() / 1e6
            account.read = self.moment()
            self.load(key)

    def loaded(self, key: AccountKey, spent: Amounts) -> None:
        account = self._accounts.get(key)
        if account is None or account.is_loaded:
            return
        account.is_loaded, account.is_loading = True, False
        if not self._has_others(key):
            account.spent.add(spent)
            return
        account.spent = spent
        oldest = account.read_at - FORGOTTEN_AFTER
        account.fresh = [
            one for one in account.fresh if one.at >= oldest and (one.kept is None or one.kept > account.read)
        ]
        for one in account.fresh:
            one.is_unclear = True

    def not_loaded(self, key: AccountKey) -> None:
        """It could not be read; the next look tries again."""
        account = self._accounts.get(key)
        if account is not None:
            account.is_loading = False

    def reserve(self, spender: Spender, wish: Amounts) -> None:
        for _, _, account in self._found(spender):
            account.reserved.add(wish)
            account.in_flight += 1

    # --- after it ---

    def settle(self, spender: Spender, reserved: Amounts, used: Amounts) -> None:
        for _, _, account in self._found(spender):
            if account.in_flight:  # an account of a new day has none
                account.reserved.take(reserved)
                account.in_flight -= 1
        self.spend(spender, used)

    def spend(self, spender: Spender, used: Amounts) -> None:
        if used.is_nothing:
            return
        found = {key: account for _, key, account in self._found(spender)}
        self._keep(spender, [(key, account, used) for key, account in found.items()])

    def _keep(self, spender: Spender, amounts: list[tuple[AccountKey, Account, Amounts]]) -> None:
        if not amounts:
            return
        waiting: list[tuple[Account, Fresh]] = []
        for key, account, used in amounts:
            if self._has_others(key):
                fresh = Fresh(used, self.now() / 1e6)
                account.fresh.append(fresh)
                waiting.append((account, fresh))
            else:
                account.spent.add(used)

        def kept() -> None:
            moment = self.moment()
            for account, fresh in waiting:
                fresh.kept = moment
                if fresh.is_unclear:  # the next read is sure to hold it
                    account.read_at = float("-inf")
            if waiting:
                self.on_kept()

        spender.keep_spend([self._row(key, used) for key, _, used in amounts], kept)

    def _row(self, key: AccountKey, used: Amounts) -> AddSpend:
        return AddSpend(
            key.tenant, key.name, key.scope, key.period, used.tokens, round(used.cost_usd * 1e9), used.model_calls,
            used.tool_calls, used.steps, round(used.wall_seconds * 1e6), self.now(),
        )  # fmt: skip

    # --- the time of attempts ---

    def enter(self, spender: Spender) -> None:
        """An attempt begins."""
        for budget, key, account in self._found(spender):
            if budget.wall_seconds is not None:
                self._read(key, account)
                account.began.setdefault(id(spender), self.now() / 1e6)

    def is_timed(self, agent: str) -> bool:
        return self._is_timed or agent in self._timed

    def time_left(self, spender: Spender) -> tuple[float, Denial] | None:
        """Seconds until a cap of wall time ends the attempt, and with what; None: there is none. A budget that asks
        a person does so at the next call."""
        found: tuple[float, Denial] | None = None
        now = self.now() / 1e6
        for budget, _, account in self._found(spender):
            if budget.wall_seconds is None or budget.on_hit != "fail":
                continue
            used = account.used(now).wall_seconds
            running = max(1, len(account.began))
            left = max(0.0, budget.wall_seconds - used) / running
            hit = Hit(budget.scope, "wall_seconds", budget.wall_seconds, used)
            if found is None or left < found[0]:
                found = left, refusal(budget, hit, spender.run)
        return found

    def leave(self, spender: Spender) -> None:
        now = self.now() / 1e6
        timed = []
        for _, key, account in self._found(spender):
            began = account.began.pop(id(spender), None)
            if began is not None and now > began:
                timed.append((key, account, Amounts(wall_seconds=now - began)))
        self._keep(spender, timed)
        if any(budget.scope == "run" for budget in self.budgets_of(spender.run.agent)):
            self._accounts.pop(AccountKey(spender.run.tenant, "run", spender.run.id, ""), None)


def _caps_time(budgets: tuple[Budget, ...]) -> bool:
    return any(budget.wall_seconds is not None for budget in budgets)


def refusal(budget: Budget, hit: Hit, run: Run) -> Denial:
    who = {"run": "This run", "session": "This session", "agent": f"The agent {run.agent!r}", "tenant": "The tenant"}
    period = {"day": " a day", "month": " a month", "total": ""}[budget.period if hit.scope != "run" else "total"]
    text = (
        f"{who[hit.scope]} may use {hit.cap:g} {WORDS[hit.amount]}{period}, has used {hit.spent:g}, "
        "and what comes next would be too much."
    )
    said = {"scope": hit.scope, "amount": hit.amount, "cap": hit.cap, "spent": round(hit.spent, 6)}
    return Denial(
        0, "budget_exceeded", text, budget=f"{hit.scope}.{hit.amount}", asks=budget.on_hit == "review",
        hit=msgspec.json.encode(said),
    )  # fmt: skip
