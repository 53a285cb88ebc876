"""Polls that come one by one: who is asked about along with whom, and how long an answer counts."""

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import math
import random
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from cloudspawner.polling import Accepts, PollBatcher, Question, Watched
from cloudspawner.wire import ProgramError

MAX_AGE = 27.0


class Clock:
    """The loop's time, which only the test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Cloud:
    """What `Program.request` gives; each request's users are kept."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.ages: dict[str, int | None] = {}
        self.phases: dict[str, str] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.error: ProgramError | None = None

    async def __call__(self, verb: str, params: Any, *, timeout_ms: int) -> dict[str, Any]:
        assert (verb, timeout_ms) == ("poll", 20_000)
        users = [target["server"]["user"] for target in params["targets"]]
        self.requests.append(users)
        await self.open.wait()
        if self.error:
            raise self.error
        return {"servers": [self.status(user) for user in users]}

    def status(self, user: str) -> dict[str, Any]:
        status: dict[str, Any] = {"key": user, "phase": self.phases.get(user, "running")}
        age_ms = self.ages.get(user, 0)
        return status if age_ms is None else {**status, "age_ms": age_ms}


class Server:
    """What a spawner is to the batcher."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.state: dict[str, Any] | None = {"of": user}
        self.max_age, self.config = MAX_AGE, {"region": "eu-west-1"}
        self.watched = Watched(self.question, lambda: Accepts(self.state, int(self.max_age * 1000)))

    def question(self) -> Question:
        target: Any = {"server": {"hub": "h", "user": self.user, "name": ""}, "state": self.state}
        return Question("fargate", self.config, None, int(self.max_age * 1000), target)


class Watching(Cloud):
    """Looks again at what is too old for one of a request, and with it at the others, or at everything (`lists`)."""

    def __init__(self, *, lists: bool) -> None:
        super().__init__()
        self.lists = lists
        self.looked: dict[str, float] = {}
        self.calls: list[float] = []

    async def __call__(self, verb: str, params: Any, *, timeout_ms: int) -> dict[str, Any]:
        now, max_age = asyncio.get_running_loop().time(), params["max_age_ms"] / 1000
        users = [target["server"]["user"] for target in params["targets"]]
        age = {user: now - self.looked.get(user, 0) for user in users}
        if max(age.values()) > max_age:
            due = [user for user in users if self.lists or age[user] > max_age / 9]
            self.calls += [now] * (1 if self.lists else math.ceil(len(due) / 100))
            self.looked.update(dict.fromkeys(self.looked if self.lists else due, now))
            self.looked.update(dict.fromkeys(due, now))
        self.ages = {user: math.ceil((now - self.looked[user]) * 1000) for user in users}
        return await super().__call__(verb, params, timeout_ms=timeout_ms)


Ask = Callable[..., Awaitable[None]]


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop.time())
    monkeypatch.setattr(loop, "time", clock)
    return clock


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def polls(cloud: Cloud) -> PollBatcher:
    return PollBatcher(cloud, logging.getLogger("test_polling"), lambda: None)


@pytest.fixture
def apart(clock: Clock, polls: PollBatcher) -> Ask:
    """Polls them one by one, evenly within the 30 s that a hub's interval has."""

    async def poll(servers: list[Server]) -> None:
        for server in servers:
            assert (await polls.ask(server.watched))["key"] == server.user
            clock.now += 30 / len(servers)

    return poll


def people(count: int) -> list[Server]:
    return [Server(f"user{number}") for number in range(count)]


async def test_servers_that_are_polled_in_turn_are_asked_about_together(cloud: Cloud, apart: Ask) -> None:
    servers = people(500)
    await apart(servers)
    cloud.requests.clear()
    for _ in range(10):
        await apart(servers)
    # Five thousand polls; what was known before them spares one or two requests.
    assert 23 <= len(cloud.requests) <= 25
    assert {len(users) for users in cloud.requests} == {200}
    assert all(len(users) == len(set(users)) for users in cloud.requests)


async def test_after_a_hubs_restart_whose_first_polls_accept_nothing_older_the_next_ones_share_requests_at_once(
    clock: Clock, cloud: Cloud, polls: PollBatcher, apart: Ask
) -> None:
    servers = people(500)
    for server in servers:
        server.max_age = 0
    await asyncio.gather(*(polls.ask(server.watched) for server in servers))
    for server in servers:
        server.max_age = MAX_AGE
    cloud.requests.clear()
    for _ in range(4):
        await apart(servers)
    assert len(cloud.requests) <= 10


async def test_a_server_that_is_alone_is_asked_about_once_an_interval(cloud: Cloud, apart: Ask) -> None:
    servers = people(1)
    for _ in range(4):
        await apart(servers)
    assert cloud.requests == [["user0"]] * 4


async def test_two_servers_share_one_request_an_interval(cloud: Cloud, apart: Ask) -> None:
    servers = people(2)
    for _ in range(5):
        await apart(servers)
    assert cloud.requests == [["user0"], ["user1", "user0"], *[["user1", "user0"]] * 4]


class Timing(NamedTuple):
    """The seconds between two polls, for how many everything stands still once, and how much more that may cost."""

    interval: float = 30
    pause: float = 0
    times: int = 1


@pytest.mark.parametrize(("lists", "most_calls", "most_requests"), [(False, 12, 7), (True, 2, 12)])
@pytest.mark.parametrize(
    "hub",
    [Timing(), Timing(interval=50), Timing(pause=20, times=2), Timing(pause=45, times=2)],
    ids=["in time", "always late", "late once", "very late once"],
)
async def test_polls_that_come_with_jitter_are_few_requests_and_few_calls(
    clock: Clock, lists: bool, most_calls: int, most_requests: int, hub: Timing
) -> None:
    cloud = Watching(lists=lists)
    polls = PollBatcher(cloud, logging.getLogger("test_polling"), lambda: None)
    chance, begin = random.Random(7), clock.now
    due = [(begin + 30 * chance.random(), number, server) for number, server in enumerate(people(1000))]
    heapq.heapify(due)
    sent: list[float] = []
    while due[0][0] < begin + 240:
        at, number, server = due[0]
        clock.now = max(clock.now, at + hub.pause * (at > begin + 130))
        before = len(cloud.requests)
        await polls.ask(server.watched)
        sent += [clock.now] * (len(cloud.requests) - before)
        assert clock.now - cloud.looked[server.user] <= MAX_AGE
        # `Spawner.poll_jitter`: give or take a twentieth.
        heapq.heapreplace(due, (at + hub.interval * (0.95 + 0.1 * chance.random()), number, server))

    def in_any_interval(times: list[float]) -> int:
        later = [at for at in times if at > begin + 60]
        return max(sum(at <= other < at + 30 for other in later) for at in later)

    assert in_any_interval(cloud.calls) <= most_calls * hub.times
    assert in_any_interval(sent) <= most_requests * hub.times


async def test_an_answer_that_its_next_poll_will_not_accept_is_asked_for_again_along_with_another(
    clock: Clock, cloud: Cloud, polls: PollBatcher
) -> None:
    ada, bob, eve = Server("ada"), Server("bob"), Server("eve")
    await polls.ask(ada.watched)
    clock.now += 28
    cloud.ages["ada"] = 26_000
    await polls.ask(bob.watched)
    clock.now += 1
    await polls.ask(eve.watched)
    assert cloud.requests == [["ada"], ["bob", "ada"], ["eve", "ada"]]


async def test_an_answer_counts_as_long_as_the_poll_accepts_it(clock: Clock, cloud: Cloud, polls: PollBatcher) -> None:
    server = Server("ada")
    cloud.ages["ada"] = 20_000
    await polls.ask(server.watched)
    clock.now += 6.9
    await polls.ask(server.watched)
    assert len(cloud.requests) == 1
    clock.now += 0.2
    await polls.ask(server.watched)
    assert len(cloud.requests) == 2


async def test_after_a_change_what_was_known_does_not_count(clock: Clock, cloud: Cloud, polls: PollBatcher) -> None:
    server = Server("ada")
    await polls.ask(server.watched)
    server.max_age = 0
    await polls.ask(server.watched)
    server.max_age, server.state = MAX_AGE, {"of": "another start"}
    await polls.ask(server.watched)
    assert len(cloud.requests) == 3


@pytest.mark.parametrize(("phase", "age_ms"), [("unknown", 0), ("running", None)])
async def test_what_is_not_known_or_of_no_known_age_is_asked_for_again(
    clock: Clock, cloud: Cloud, polls: PollBatcher, phase: str, age_ms: int | None
) -> None:
    server = Server("ada")
    cloud.phases["ada"], cloud.ages["ada"] = phase, age_ms
    for _ in range(2):
        assert (await polls.ask(server.watched))["phase"] == phase
    assert len(cloud.requests) == 2


async def test_a_death_that_was_told_along_with_another_server_reaches_its_own_poll(
    clock: Clock, cloud: Cloud, polls: PollBatcher
) -> None:
    ada, bob = Server("ada"), Server("bob")
    await polls.ask(ada.watched)
    clock.now += 15
    cloud.phases["ada"] = "exited"
    assert (await polls.ask(bob.watched))["phase"] == "running"
    clock.now += 15
    assert (await polls.ask(ada.watched))["phase"] == "exited"
    assert cloud.requests == [["ada"], ["bob", "ada"]]


async def test_a_poll_joins_the_request_that_asks_about_its_server_already(
    clock: Clock, cloud: Cloud, polls: PollBatcher
) -> None:
    ada, bob = Server("ada"), Server("bob")
    await polls.ask(ada.watched)
    clock.now += 28
    cloud.open.clear()
    asked = [asyncio.ensure_future(polls.ask(bob.watched))]
    await until(lambda: len(cloud.requests) == 2)
    asked += [asyncio.ensure_future(polls.ask(ada.watched)) for _ in range(2)]
    asked.append(asyncio.ensure_future(polls.ask(Server("eve").watched)))
    await until(lambda: len(cloud.requests) == 3)
    asked[1].cancel()
    cloud.open.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer if isinstance(answer, BaseException) else answer["key"] for answer in answers[::2]] == ["bob", "ada"]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert cloud.requests == [["ada"], ["bob", "ada"], ["eve"]]


async def test_a_request_that_fails_is_told_to_its_own_polls_and_the_others_ask_themselves(
    clock: Clock, cloud: Cloud, polls: PollBatcher
) -> None:
    ada, bob = Server("ada"), Server("bob")
    await polls.ask(ada.watched)
    clock.now += 28
    cloud.error = ProgramError("unavailable", "the cloud is away")
    with pytest.raises(ProgramError):
        await polls.ask(bob.watched)
    cloud.error = None
    assert (await polls.ask(ada.watched))["phase"] == "running"
    assert cloud.requests[1:] == [["bob", "ada"], ["ada"]]


async def test_who_was_stopped_has_other_settings_or_cannot_be_asked_about_is_not_taken_along(
    clock: Clock, cloud: Cloud, polls: PollBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, moved, broken, ada = Server("gone"), Server("moved"), Server("broken"), Server("ada")
    for server in (gone, moved, broken):
        await polls.ask(server.watched)
    clock.now += 28
    gone.state = None
    moved.config = {"region": "eu-west-2"}
    monkeypatch.setattr(broken.watched, "question", lambda: 1 / 0)
    await polls.ask(ada.watched)
    assert cloud.requests[3:] == [["ada"]]


async def test_servers_that_nobody_polls_any_more_are_forgotten(clock: Clock, cloud: Cloud, polls: PollBatcher) -> None:
    left, ada = people(300), Server("ada")
    for server in left:
        await polls.ask(server.watched)
    reference = weakref.ref(left[0])
    left.clear()
    del server
    for _ in range(4):
        clock.now += 29
        await polls.ask(ada.watched)
    assert [len(users) for users in cloud.requests[-4:]] == [200, 200, 1, 1]
    gc.collect()
    assert reference() is None


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0)
