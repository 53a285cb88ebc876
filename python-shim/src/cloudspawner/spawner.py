"""What is the same for all clouds: how a JupyterHub spawner's life maps to the program's verbs.

It holds no cloud knowledge. The traps of JupyterHub that shape it: state must be in the database before the cloud is
asked; a poll that raises, or says dead too early, loses a running server; a stop that raises is never repeated; a
cancelled start must return at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timezone
from typing import Any

import sqlalchemy
from jupyterhub.spawner import Spawner
from jupyterhub.utils import url_path_join
from traitlets import Dict, List, Unicode, default

from .aftermath import Aftermath
from .checking import CheckTraits
from .choosing import ChoosingTraits
from .errors import ChoiceRefused, ConfigurationError, spawn_exception
from .housekeeping import HousekeepingTraits
from .metrics import StageClock
from .polling import Accepts, Question, Watched
from .program import Call, Program
from .progress import Progress, ProgressEvent
from .record import Record
from .storage import StorageTraits
from .wire import (
    Event,
    JsonObject,
    ProgramError,
    Server,
    ServerStatus,
    Spec,
    StartParams,
    StopParams,
    Target,
)

# The program's deadline is that much before the hub's start_timeout, so that its error is the one shown
# (protocol.md, "timeout_ms").
_START_MARGIN_SECONDS = 10.0
# Less than the interval less its jitter (5%), so that each round of polls sees something new (protocol.md, "poll").
_POLL_AGE = 0.9
# A server without an address is starting; somebody waits for it.
_PENDING_AGE_MS = 1_000
CERTIFICATES_STAY = (
    "JupyterHub.internal_ssl: its certificates lie on the hub's disk and do not reach a server in the cloud; "
    "switch it off, or override the spawner's move_certs so that they do"
)
# Between the tries of a stop; the program itself has tried each call several times by then.
_STOP_PAUSES = (1.0, 5.0)


class CloudSpawner(Aftermath, CheckTraits, ChoosingTraits, HousekeepingTraits, StorageTraits, Spawner):
    """Starts single-user servers through the `cloudspawner` program, on the cloud of the profile that a person chose.

    Base of the classes that have one cloud alone.
    """

    #: Pause between two looks for the address of a server that was still starting when the hub restarted.
    _url_pause: float = 2.0

    program = List(
        Unicode(),
        help="""
        The command that runs the program, as a list of arguments; "serve" is added.

        The default (empty) is the `cloudspawner` that was installed with this package, else the one on PATH.
        Example: `["/opt/cloudspawner/bin/cloudspawner"]`.
        """,
    ).tag(config=True)

    program_env = Dict(
        help="""
        Environment variables for the program, beside the hub's own.

        Empty by default. Example: `{"AWS_ENDPOINT_URL_ECS": "http://127.0.0.1:4566"}`.
        """,
    ).tag(config=True)

    hub_id = Unicode(
        help="""
        The name of this hub among all that share the cloud account; every server's key holds it.

        By default derived from the hub's cookie secret, so that two hubs never meet. Set it to a fixed name, and keep
        it: only then gc runs (see gc_interval), and servers that were started under another name are not seen by gc.
        Example: `"prod"`.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._record = Record()
        self._call: Call | None = None
        self._running: asyncio.Task[JsonObject] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._stop_wanted = False
        self._exit_status: int | None = None
        self._look_now = True
        self._watched = Watched(self._question, self._accepts)
        self._derived_hub_id = ""
        self._life = 0
        self._burial = asyncio.Lock()
        self._progress = Progress()
        self._stages = StageClock("")

    @default("ip")
    def _ip_of_a_container(self) -> str:
        return "0.0.0.0"  # noqa: S104 - a container is reached from outside

    @default("port")
    def _port_of_a_container(self) -> int:
        return 8888

    @default("start_timeout")
    def _start_timeout_of_a_cloud(self) -> int:
        return 300

    # State

    def get_state(self) -> JsonObject:
        """What the hub keeps in its database; free of secrets."""
        return {**super().get_state(), **(self._record.dump() or self._stored_ending())}

    def load_state(self, state: JsonObject) -> None:
        """Take back what `get_state` gave; a state that it did not give is kept as it is, and never raises."""
        super().load_state(state)
        self._look_now = True
        self._record = Record.load(self._recall(state))
        self._take_up(self._record)
        if self._record.foreign is not None:
            self.log.error(
                "%s: the stored state is not cloudspawner's, so the server counts as running; "
                "stop it by hand in the cloud if another spawner started it",
                self._log_name,
            )
        self._begin_housekeeping()

    def clear_state(self) -> None:
        """Forget the server; the hub does this before each start and after each stop."""
        super().clear_state()
        self._life += 1
        self._forget()
        self._chosen = None
        self._progress.close()
        # Whoever may see the cloud's console is its admin.
        self._progress = Progress(shows_links=bool(self.user.admin))

    def _forget(self) -> None:
        self._record = Record()
        self._stop_wanted = False

    def _save(self) -> None:
        """Commit the state now; the hub itself does so only after start() returned. Raises what the database does."""
        session = self._session()
        try:
            self.orm_spawner.state = self.get_state()
            session.commit()
        except Exception:
            if session is not None:
                session.rollback()
            raise

    def _try_save(self) -> None:
        try:
            self._save()
        except Exception:
            self.log.exception("%s: the state could not be saved", self._log_name)

    # Start

    async def start(self) -> str:
        """Start the server and return its URL.

        Raises:
            ConfigurationError: a setting is missing or wrong.
            SpawnFailed: the cloud refused or the server did not come up; SpawnException (JupyterHub 6) where it
                is for want of capacity.
        """
        deadline = asyncio.get_running_loop().time() + self.start_timeout - _START_MARGIN_SECONDS
        if self._settling is not None:
            await asyncio.shield(self._settling)
        self._life += 1
        self._forget()
        self._exit_status, self._look_now = None, True
        if last := self._last_ending():
            self._progress.add_html(f"Last time: {last.sentence}", f"Last time: {last.html()}")
        call = self._call = Call("start", {}, 0, on_state=self._on_state, on_event=self._on_event)
        try:
            call.params = dict(await self._start_params())
            left = deadline - asyncio.get_running_loop().time()
            call.timeout_ms = max(1_000, int(left * 1000))
            program = self._program()
        except ProgramError as error:
            raise self._start_failed(error) from error
        except BaseException as error:
            self._call, self._exit_status = None, 1
            if isinstance(error, ChoiceRefused):
                # The hub keeps what it was asked for, for the next start without options.
                self.orm_spawner.user_options = None
            raise
        self._running = asyncio.ensure_future(program.perform(call))
        try:
            result = await asyncio.shield(self._running)
        except asyncio.CancelledError:
            # The hub waits one second and then stops: clean up in the background, `stop` waits for that.
            self._abandon(program, call, self._running)
            raise
        except ProgramError as error:
            state = self._record.cloud
            failure = self._start_failed(error)
            ending = await self._start_has_failed(error, state)
            failure.jupyterhub_html_message = ending.html()  # type: ignore[attr-defined]  # each of ours has one
            raise failure from None
        finally:
            self._progress.close()
            self._stages.enter("")
        self._call = self._running = None
        self._record.learn(result.get("url"), result.get("state"))
        self._has_started()
        return self._record.url

    async def move_certs(self, paths: JsonObject) -> JsonObject:
        """With internal_ssl the hub asks where a server finds its certificates, which lie on the hub's own disk.

        Raises:
            ConfigurationError: always; a subclass that brings them to its servers overrides this.
        """
        raise ConfigurationError(CERTIFICATES_STAY)

    async def _start_params(self) -> StartParams:
        chosen = self._chosen or await self._choose()
        cloud = self.cloud
        self._record.profile = chosen.options if chosen.profile.slug else None
        self._record.backend = cloud.backend
        self._stages = StageClock(cloud.backend)
        config = cloud.with_storage(await cloud.start_config())
        return {
            "backend": cloud.backend,
            "server": self._identity(),
            "attempt": uuid.uuid4().hex,
            "config": config,
            "credentials": await cloud.start_credentials(),
            "spec": self._spec(),
            "state": None,
        }

    def _spec(self) -> Spec:
        # A form with a file puts bytes into the options; the hub's database drops what is no JSON, too.
        options = json.loads(json.dumps(self.user_options, default=lambda _: None))
        return {
            "command": [str(word) for word in self.cmd],
            "args": [str(word) for word in self.get_args()],
            "env": {str(name): str(value) for name, value in self.get_env().items() if value is not None},
            "port": self.port,
            "scheme": self.cloud.server_scheme(),
            "service_prefix": self.server.base_url if self.server else "/",
            "user_options": options,
            "cpu_limit": self.cpu_limit or None,
            "mem_limit_mib": math.ceil(self.mem_limit / 2**20) if self.mem_limit else None,
            "mounts": self.cloud.mounts_of_a_start(),
        }

    def _on_state(self, state: JsonObject) -> None:
        self._record.cloud = state
        self._save()

    def _on_event(self, event: Event) -> None:
        self._progress.add(event)
        self._stages.enter(event.get("stage", ""))

    def _start_failed(self, error: ProgramError) -> Exception:
        known = {name: value for name, value in error.context.items() if value is not None}
        self.log.error("%s: the start failed: %s (cleanup %s) %s", self._log_name, error, error.cleanup, known or "")
        self._end_start(error.cleanup)
        return spawn_exception(error)

    def _abandon(self, program: Program, call: Call, running: asyncio.Task[JsonObject]) -> None:
        program.cancel(call)
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle(running))

    def _end_start(self, cleanup: str) -> None:
        self._call = self._running = None
        if cleanup == "needed" and self._record.cloud is not None:
            self._stop_wanted = True  # poll says alive, so that the hub stops it
        else:
            had_state = self._record.cloud is not None
            self._forget()
            self._exit_status = 1
            if had_state:
                self._try_save()

    async def _settle(self, running: asyncio.Task[JsonObject]) -> None:
        """Wait for the last frame of a start that was cancelled. Never raises, but for its own cancelling."""
        cleanup = "needed"
        try:
            result = await running
            self._record.learn(result.get("url"), result.get("state"))
        except ProgramError as error:
            cleanup = error.cleanup
            self.log.info("%s: the start was cancelled (cleanup %s): %s", self._log_name, cleanup, error.code)
        except Exception:
            self.log.exception("%s: the start was cancelled", self._log_name)
        self._end_start(cleanup)
        self._settling = None

    # Poll and address

    async def poll(self) -> int | None:
        """None while the server may be alive, else its exit status; an error is never taken for dead."""
        try:
            return await self._poll()
        except ProgramError as error:
            self.log.debug("%s: could not be polled: %s", self._log_name, error)
        except Exception:
            self.log.exception("%s: could not be polled", self._log_name)
        return None

    async def _poll(self) -> int | None:
        if self._call is not None or self._stop_wanted or self._record.foreign is not None:
            return None
        if self._exit_status is not None:
            return self._exit_status
        if self._record.cloud is None:
            return 0  # nothing is ever created without a state
        life = self._life
        await self._choose_again()
        answer = await self._program().polls.ask(self._watched)
        if life != self._life:
            return self._exit_status  # stopped or started meanwhile: the answer is of another life
        self._look_now = False
        if answer.get("phase") in ("exited", "gone"):
            return await self._bury(answer, life)
        if error := answer.get("error"):
            self.log.debug("%s: %s", self._log_name, ProgramError.from_frame({"error": error}))
            if answer.get("phase") == "stopping":
                self._is_going_down(answer)
        news = self._record.learn(answer.get("url"), answer.get("state"))
        if self._note_activity(answer.get("last_activity")) or news:
            self._try_save()
        return None

    def _question(self) -> Question:
        cloud = self.cloud
        return Question(cloud.backend, cloud.cloud_config(), cloud.credentials(), self._max_age_ms(), self._target())

    def _accepts(self) -> Accepts:
        return Accepts(self._record.cloud, self._max_age_ms())

    def _note_activity(self, told: object) -> bool:
        """What the cloud knows of the server's last use, for the idle culler; returns whether it is news."""
        try:
            at = datetime.fromisoformat(told.replace("Z", "+00:00")) if isinstance(told, str) else None
        except ValueError:
            return False
        if at is None or at.tzinfo is None:
            return False
        at = at.astimezone(timezone.utc).replace(tzinfo=None)  # the hub stores UTC without a zone
        news = False
        for row in (self.orm_spawner, self.orm_spawner.user):
            if row.last_activity is None or row.last_activity < at:
                row.last_activity, news = at, True
        return news

    def _max_age_ms(self) -> int:
        if self._look_now:
            return 0
        interval_ms = int(max(0, self.poll_interval) * 1000 * _POLL_AGE)
        return interval_ms if self._record.url else min(interval_ms, _PENDING_AGE_MS)

    async def _bury(self, answer: ServerStatus, life: int) -> int | None:
        # The hub polls each death three times or more, but never calls stop for it.
        async with self._burial:
            if life == self._life and self._exit_status is None:
                if answer.get("cleanup") == "needed":
                    await self._stop_cloud("the server has ended", pauses=())
                code = answer.get("exit_code")
                if life == self._life:
                    self._exit_status = code if isinstance(code, int) else 1
                    self.log.info("%s: ended: %s", self._log_name, answer.get("reason") or answer.get("phase"))
                    self._has_died(answer, self._record.cloud)
        return self._exit_status

    async def delete_forever(self) -> None:
        """The hub deletes the server: each cloud does what it does then."""
        for cloud in self.clouds():
            await StorageTraits.delete_forever(cloud)

    async def rename_storage(self, old: str, new: str) -> JsonObject | None:
        """Tell each cloud's storage of a person who was renamed; gives what was renamed last."""
        renamed = [await StorageTraits.rename_storage(cloud, old, new) for cloud in self.clouds()]
        return next((share for share in reversed(renamed) if share), None)

    async def get_url(self) -> str:
        """The server's address, as the hub asks for it after a restart; waits for a server that is still starting."""
        try:
            await self._find_url()
            if self._record.url:
                return str(url_path_join(self._record.url, self.server.base_url))
        except Exception:
            # An exception here would keep the whole hub from starting.
            self.log.exception("%s: its address could not be found", self._log_name)
        return str(await super().get_url())

    async def _find_url(self) -> None:
        if self._record.url:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._start_time_left()
        while await self.poll() is None and not self._record.url and loop.time() < until:
            await asyncio.sleep(self._url_pause)

    def _start_time_left(self) -> float:
        started = self.orm_spawner.started
        if not isinstance(started, datetime):
            return 0.0
        now = datetime.now(timezone.utc).replace(tzinfo=None)  # the hub stores UTC without a zone
        elapsed = (now - started.replace(tzinfo=None)).total_seconds()
        return float(min(self.start_timeout, self.start_timeout - elapsed))

    # Stop

    async def stop(self, now: bool = False) -> None:
        """Stop the server. Never raises: what cannot be finished is remembered and tried again."""
        if self._call is not None and self._settling is None:
            # The hub shuts down in the middle of a start.
            if self._running is None:
                self._call.cancelled = True
            else:
                self._abandon(self._program(), self._call, self._running)
        if self._settling is not None:
            await asyncio.shield(self._settling)
        if self._record.cloud is not None or self._record.foreign is not None:
            await self._stop_cloud("stopped by JupyterHub", pauses=_STOP_PAUSES)
        self._life += 1
        self._exit_status, self._stop_wanted = 0, False

    async def _stop_cloud(self, reason: str, pauses: tuple[float, ...]) -> None:
        try:
            await self._choose_again()
            cloud = self.cloud
            stop: StopParams = {
                "backend": cloud.backend,
                "config": cloud.cloud_config(),
                "credentials": cloud.credentials(),
                "server": self._identity(),
                "state": self._record.cloud,
                "reason": reason,
                "wait": cloud.stop_waits,
            }
            await self._program().stops.stop(stop, pauses)
        except Exception:
            self.log.exception("%s: could not be stopped", self._log_name)

    # Progress

    async def progress(self) -> AsyncGenerator[ProgressEvent, None]:
        """What happened in this start, from the beginning and then live; for any number of viewers."""
        async with aclosing(self._progress.events()) as events:
            async for event in events:
                yield event

    def _session(self) -> Any:
        return sqlalchemy.inspect(self.orm_spawner).session

    # Who and with what

    def _program(self) -> Program:
        return Program.shared(self.program, self.program_env, self.log)

    def _hub_name(self) -> str:
        if self.hub_id:
            return str(self.hub_id)
        if not self._derived_hub_id:
            secret = self.user.settings.get("cookie_secret")
            if not secret:
                raise ConfigurationError(f"the hub has no cookie secret; set {type(self).__name__}.hub_id")
            secret = secret.encode() if isinstance(secret, str) else bytes(secret)
            # A digest under the secret, never the secret: it becomes part of names that many can read.
            self._derived_hub_id = hmac.new(secret, b"cloudspawner hub_id", hashlib.sha256).hexdigest()[:16]
        return self._derived_hub_id

    def _identity(self) -> Server:
        return {"hub": self._hub_name(), "user": self.user.name, "name": self.name}

    def _target(self) -> Target:
        return {"server": self._identity(), "state": self._record.cloud}
