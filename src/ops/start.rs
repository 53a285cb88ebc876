//! `start`: create, watch, answer; and leave nothing behind where that does not succeed.

use super::clean_up::{Interruption, Trouble, clean_up_until};
use super::link::Link;
use super::{Ops, check_server};
use crate::backend::{Backend, Created, Found, Launch, Record, Sighting, Then, names};
use crate::error::Failure;
use crate::net::limiter::Ticket;
use crate::net::retry::Pace;
use crate::wire::reply::StartResult;
use crate::wire::{Cleanup, Code, Phase, StartParams};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many definite refusals to tell how a server is, one after the other, and the start gives up.
const MOST_REFUSALS: u32 = 3;

/// The stage of what is told of storage.
const STORAGE: &str = "storage";
/// Percent of a start whose server runs and is not finished.
const ALMOST_UP: u8 = 95;

/// Who waits for less is not told of it.
const FIRST_PLACE: Duration = Duration::from_secs(1);
/// A thousand starts that wait tell 200 places a second: the hub has other things to do.
const NEXT_PLACE: Duration = Duration::from_secs(5);

/// How a server's way up ended.
enum Ended {
    /// It runs, at this address; the second is its own, where the first only leads there.
    Up(String, Option<String>),
    /// It will not come up; `over` where nothing of it is left to stop.
    Down { failure: Failure, over: bool },
}

impl Ops {
    /// Starts a server and answers with its address.
    ///
    /// The same attempt may be started again with its last state: what exists is carried on with. `deadline` is the
    /// request's own; clean-up may take longer.
    ///
    /// # Errors
    /// Any code; `cleanup` says what is left.
    pub async fn start(
        &self,
        params: &StartParams,
        link: &Link,
        deadline: Instant,
    ) -> Result<StartResult, Failure> {
        check_server(&params.server, "params.server")?;
        check_attempt(&params.attempt)?;
        let backend = self.registry.get(&params.backend)?;
        let mut trouble = Trouble {
            older_left: params.state.is_some(),
            ..Trouble::default()
        };
        let started =
            self.start_or_clean_up(backend.as_ref(), params, link, deadline, &mut trouble);
        started.await.map_err(|failure| {
            let failure = failure.of(backend.name());
            if trouble.older_left && failure.0.cleanup == Cleanup::None {
                failure.with_cleanup(Cleanup::Needed)
            } else {
                failure
            }
        })
    }

    async fn start_or_clean_up(
        &self,
        backend: &dyn Backend,
        params: &StartParams,
        link: &Link,
        deadline: Instant,
        trouble: &mut Trouble,
    ) -> Result<StartResult, Failure> {
        // Before anything is awaited, so that a stop that comes next finds this start.
        let key = key_of(params, backend);
        let turn = self
            .interruptible(link, deadline, self.desk.start(&key, &link.cancelled))
            .await;
        let _turn = match turn {
            Ok(turn) => turn,
            Err(interruption) => return Err(interruption.into_failure(None)),
        };
        let began_ms = self.context.now_ms();
        let mut launch = self
            .interruptible(link, deadline, backend.launch(params))
            .await
            .unwrap_or_else(|interruption| Err(interruption.into_failure(None)))?;
        for warning in launch.warnings() {
            tracing::warn!(key = launch.record().key, "{warning}");
        }
        trouble.older_left = launch.older().is_some();
        let run = self.run(
            &params.backend,
            launch.as_mut(),
            link,
            deadline,
            began_ms,
            trouble,
        );
        let (failure, interruption) = match self.interruptible(link, deadline, run).await {
            Ok(Ok(result)) => {
                tracing::info!(key, url = result.url, "server started");
                return Ok(result);
            }
            Ok(Err(failure)) => (failure, None),
            Err(interruption) => (
                interruption.into_failure(trouble.last.take()),
                Some(interruption),
            ),
        };
        let failure = self
            .clean_up(
                &params.backend,
                launch.as_mut(),
                link,
                clean_up_until(interruption, deadline),
                trouble,
                failure,
            )
            .await;
        tracing::info!(key, code = ?failure.code(), cleanup = ?failure.0.cleanup, "server not started");
        Err(failure)
    }

    async fn interruptible<T>(
        &self,
        link: &Link,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Interruption> {
        tokio::select! {
            biased;
            () = link.cancelled.cancelled() => Err(Interruption::Cancelled),
            () = link.ending.cancelled() => Err(Interruption::Ending),
            done = work => Ok(done),
            () = tokio::time::sleep_until(deadline) => Err(Interruption::Deadline),
        }
    }

    async fn run(
        &self,
        backend: &str,
        launch: &mut dyn Launch,
        link: &Link,
        deadline: Instant,
        began_ms: u64,
        trouble: &mut Trouble,
    ) -> Result<StartResult, Failure> {
        link.tell("requested", 0, "Your server is being requested");
        self.remove_older(launch, began_ms, deadline).await?;
        trouble.older_left = false;
        let mut shortages = 0;
        loop {
            if launch.record().reference.is_none() {
                link.announce_and_wait(launch.record().write(backend)?)
                    .await?;
                prepare(backend, launch, link, deadline).await?;
                self.create(backend, launch, link, deadline, trouble)
                    .await?;
            }
            trouble.created_before = true;
            link.announce(launch.record().write(backend)?);
            match self.follow(launch, link, deadline, trouble).await {
                Ended::Up(url, target_url) => {
                    finish(launch, link, deadline).await?;
                    let record = Record {
                        url: Some(url.clone()),
                        ..launch.record().clone()
                    };
                    let state = record.write(backend)?;
                    return Ok(StartResult {
                        url,
                        target_url,
                        state,
                    });
                }
                Ended::Down { failure, over } => {
                    trouble.over = over;
                    if failure.code() != Code::CapacityUnavailable {
                        return Err(failure);
                    }
                    link.tell("capacity", 0, again_message(&failure));
                    trouble.last = Some(failure);
                    self.pause(Pace::CAPACITY, shortages).await;
                    shortages += 1;
                    launch.renew();
                    trouble.over = false;
                }
            }
        }
    }

    /// Stops whatever the cloud still runs for this server from an older attempt.
    async fn remove_older(
        &self,
        launch: &mut dyn Launch,
        began_ms: u64,
        deadline: Instant,
    ) -> Result<(), Failure> {
        const REASON: &str = "replaced by a newer start of the same server";
        let site = launch.site();
        let in_the_way = |older: &&Record| older.reference.is_some() && launch.displaces(older);
        if let Some(older) = launch.older().filter(in_the_way) {
            self.remove_surely(&site, older, false, REASON, deadline)
                .await?;
        }
        if launch.record().attempted_at_ms < began_ms {
            return Ok(());
        }
        let found = match site.find(&launch.record().key, deadline).await {
            Ok(found) => found,
            Err(failure) if failure.code() == Code::PermissionDenied => {
                tracing::warn!(%failure, "the lookup by key is off: a server of an older attempt would not be found");
                return Ok(());
            }
            // A cluster that does not exist has nothing in it; creating there will say so best.
            Err(failure) if failure.code() == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let before = |f: &&Found| {
            launch.displaces(&f.record)
                && matches!(f.report.phase, Phase::Pending | Phase::Running)
                && f.created_at_ms.is_none_or(|created| created <= began_ms)
        };
        for older in found.iter().filter(before) {
            tracing::info!(
                key = older.record.key,
                reference = older.record.reference,
                "stopping an older attempt"
            );
            self.remove_surely(&site, &older.record, true, REASON, deadline)
                .await?;
        }
        Ok(())
    }

    /// Creates the server; what may pass is tried again until the start is broken off from outside.
    async fn create(
        &self,
        backend: &str,
        launch: &mut dyn Launch,
        link: &Link,
        deadline: Instant,
        trouble: &mut Trouble,
    ) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            let waiting = tell_place(link, launch.ticket());
            let created = tokio::select! {
                created = launch.create(deadline) => created,
                never = waiting => match never {},
            };
            let (failure, then) = match created {
                Created::Yes => return Ok(()),
                Created::No { failure, then } => (failure, then),
                Created::Unanswered(failure) => (failure, Then::Again),
            };
            tracing::warn!(key = launch.record().key, %failure, "creation did not succeed");
            match then {
                // The time was up in the queue: what made it queue again says more.
                Then::GiveUp if failure.code() == Code::Deadline => {
                    return Err(match trouble.last.take() {
                        Some(last) => last.because(failure.0.message),
                        None => failure,
                    });
                }
                Then::GiveUp => return Err(failure),
                Then::AtOnceRenewed => {}
                Then::Again | Then::AgainRenewed => {
                    link.tell("waiting", 0, again_message(&failure));
                    let pace = match failure.code() {
                        Code::CapacityUnavailable => Pace::CAPACITY,
                        _ => Pace::CALL,
                    };
                    if let Some(action) = &failure.0.context.operation {
                        self.context.counts().repeated(action);
                    }
                    trouble.last = Some(failure);
                    self.pause(pace, failures).await;
                    failures += 1;
                }
            }
            if then != Then::Again {
                launch.renew();
                link.announce_and_wait(launch.record().write(backend)?)
                    .await?;
            }
        }
    }

    /// Waits until the server runs or will not.
    async fn follow(
        &self,
        launch: &mut dyn Launch,
        link: &Link,
        deadline: Instant,
        trouble: &mut Trouble,
    ) -> Ended {
        let site = launch.site();
        let record = launch.record();
        let mut follow = self.watch.follow(&site, record);
        let mut refusals = 0;
        let mut told = "";
        loop {
            let look = follow.next(deadline).await;
            match look.sighting {
                Sighting::Seen(report) => {
                    refusals = 0;
                    // What was in the way before is not why the time runs out now.
                    trouble.last = None;
                    if told != report.stage {
                        told = report.stage;
                        let page = launch.console();
                        link.tell_of(told, report.percent, report.message, page);
                    }
                    if let (Phase::Running, Some(url)) = (report.phase, report.url) {
                        return Ended::Up(url, report.target_url);
                    }
                    if let Some(failure) = report.ending {
                        // Only once it has ended may a new one take its place; any other end is told at once.
                        let ended = matches!(report.phase, Phase::Exited | Phase::Gone);
                        if ended || failure.code() != Code::CapacityUnavailable {
                            return Ended::Down {
                                failure,
                                over: report.cleanup == Cleanup::None,
                            };
                        }
                    }
                }
                Sighting::Missing if look.ever_seen || !self.may_still_appear(record) => {
                    let failure = Failure::new(
                        Code::StartFailed,
                        format!(
                            "{} is gone",
                            record.reference.as_deref().unwrap_or_default()
                        ),
                    );
                    return Ended::Down {
                        failure,
                        over: true,
                    };
                }
                Sighting::Missing => {}
                Sighting::Unclear(failure) => {
                    let passes = matches!(failure.code(), Code::Throttled | Code::Unavailable);
                    refusals = if passes { 0 } else { refusals + 1 };
                    if refusals >= MOST_REFUSALS {
                        return Ended::Down {
                            failure,
                            over: false,
                        };
                    }
                    tracing::warn!(key = record.key, %failure, "could not find out how the server is");
                    link.tell("waiting", 0, again_message(&failure));
                    trouble.last = Some(failure);
                }
            }
        }
    }

    async fn pause(&self, pace: Pace, failures: u32) {
        tokio::time::sleep(pace.pause(failures, None, &self.context)).await;
    }
}

/// Makes what the server needs; what is learnt with it is acknowledged before the server is created.
async fn prepare(
    backend: &str,
    launch: &mut dyn Launch,
    link: &Link,
    deadline: Instant,
) -> Result<(), Failure> {
    let prepared = launch.prepare(deadline).await?;
    tell_left_out(link, prepared.left_out);
    if prepared.news {
        link.announce_and_wait(launch.record().write(backend)?)
            .await?;
    }
    Ok(())
}

/// Does what can only be done on a server that runs.
async fn finish(launch: &mut dyn Launch, link: &Link, deadline: Instant) -> Result<(), Failure> {
    let Some(finish) = launch.finish(deadline) else {
        return Ok(());
    };
    link.tell(STORAGE, ALMOST_UP, finish.message);
    tell_left_out(link, finish.work.await?);
    Ok(())
}

fn tell_left_out(link: &Link, sentences: Vec<String>) {
    for sentence in sentences {
        link.tell(STORAGE, 0, sentence);
    }
}

/// Tells the person who waits how many starts are ahead, at a pace that a person can read; it has no end of its own.
async fn tell_place(link: &Link, ticket: Option<Arc<Ticket>>) -> Infallible {
    let mut told = None;
    let mut pause = FIRST_PLACE;
    loop {
        tokio::time::sleep(pause).await;
        let ahead = ticket.as_ref().and_then(|ticket| ticket.ahead());
        if let Some(ahead) = ahead.filter(|_| ahead != told) {
            told = Some(ahead);
            let starts = if ahead == 1 { "start" } else { "starts" };
            let message = format!("Waiting for the account's launch rate: {ahead} {starts} ahead");
            link.tell("queued", 0, message);
            pause = NEXT_PLACE;
        }
    }
}

/// The server's key: its state's, or made from whose it is.
fn key_of(params: &StartParams, backend: &dyn Backend) -> String {
    let record = params
        .state
        .as_ref()
        .and_then(|state| Record::read(state.clone(), backend.name()).ok());
    record.map_or_else(|| names::key(&params.server), |record| record.key)
}

/// What the person who waits reads while something is tried again.
fn again_message(failure: &Failure) -> &'static str {
    match failure.code() {
        Code::CapacityUnavailable => "The cloud has no capacity right now, trying again",
        Code::Throttled => "The cloud is busy, trying again",
        _ => "The cloud does not answer, trying again",
    }
}

/// Protocol, start: "8 to 48 of letters, digits, "-"".
fn check_attempt(attempt: &str) -> Result<(), Failure> {
    let good = (8..=48).contains(&attempt.len())
        && attempt
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good {
        return Ok(());
    }
    Err(Failure::new(
        Code::BadRequest,
        format!("params.attempt: must be 8 to 48 letters, digits and \"-\", not {attempt:?}"),
    ))
}
