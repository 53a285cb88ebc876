//! Watch groups in paused time, over a cluster that counts its calls.

use super::*;
use crate::backend::{Found, Report};
use crate::wire::{Cleanup, Phase};
use futures_util::future::{BoxFuture, join_all};
use std::sync::atomic::{AtomicBool, Ordering};

/// A cluster whose servers all run, and whose every call takes 50 ms.
#[derive(Default)]
struct Cluster {
    calls: Mutex<Vec<Instant>>,
    fails: AtomicBool,
}

impl Site for Cluster {
    fn id(&self) -> &'static str {
        "cluster"
    }

    fn batch(&self) -> Option<usize> {
        Some(100)
    }

    fn observe<'a>(
        &'a self,
        records: &'a [Arc<Record>],
        _deadline: Instant,
    ) -> BoxFuture<'a, Vec<Sighting>> {
        Box::pin(async {
            let calls = records.len().div_ceil(100);
            lock(&self.calls).extend(std::iter::repeat_n(Instant::now(), calls));
            tokio::time::sleep(Duration::from_millis(50)).await;
            let fails = self.fails.load(Ordering::Relaxed);
            let told = || {
                if fails {
                    not_asked()
                } else {
                    Sighting::Seen(runs())
                }
            };
            records.iter().map(|_| told()).collect()
        })
    }

    fn find<'a>(
        &'a self,
        _key: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn list<'a>(
        &'a self,
        _hub: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn remove<'a>(
        &'a self,
        _record: &'a Record,
        _reason: &'a str,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Phase, Failure>> {
        Box::pin(async { Ok(Phase::Stopping) })
    }
}

fn runs() -> Report {
    Report {
        phase: Phase::Running,
        stage: "running",
        percent: 90,
        message: "The server is running",
        exit_code: None,
        url: None,
        target_url: None,
        reason: None,
        ending: None,
        cleanup: Cleanup::None,
        look_again: FIRST_LOOK,
        last_activity: None,
    }
}

fn record(number: usize) -> Arc<Record> {
    Arc::new(Record {
        reference: Some(format!("task/{number}")),
        ..Record::default()
    })
}

/// One poll of one server.
async fn look(
    watch: &Watch,
    site: &Arc<dyn Site>,
    record: &Arc<Record>,
    max_age: Duration,
) -> Look {
    let mut records = [record.clone()];
    let looks = watch.look(site, &mut records, max_age, far());
    looks.await.remove(0).unwrap()
}

fn site() -> (Arc<Cluster>, Arc<dyn Site>) {
    let cluster = Arc::new(Cluster::default());
    (cluster.clone(), cluster)
}

fn far() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

const INTERVAL: Duration = Duration::from_secs(30);
const MAX_AGE: Duration = Duration::from_secs(27);

/// A hub that has just begun and polls all its servers, as they are now, then each every 30 s give or take a twentieth
/// (`Spawner.poll_jitter`), for some minutes: the most calls in any 30 s after the first polls.
async fn most_calls_in_an_interval(servers: usize) -> usize {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let start = Instant::now();
    let chance = Mutex::new(fastrand::Rng::with_seed(7));
    let mut all: Vec<_> = (0..servers).map(record).collect();
    watch.look(&site, &mut all, Duration::ZERO, far()).await;
    let first_polls = lock(&cluster.calls).len();
    join_all((0..servers).map(|number| {
        let (watch, site, chance) = (&watch, &site, &chance);
        async move {
            let record = record(number);
            let first = lock(chance).f64();
            tokio::time::sleep(INTERVAL.mul_f64(first)).await;
            while start.elapsed() < INTERVAL * 6 {
                let look = look(watch, site, &record, MAX_AGE).await;
                assert!(look.began + MAX_AGE + Duration::from_secs(1) >= Instant::now());
                let jitter = 0.95 + 0.1 * lock(chance).f64();
                tokio::time::sleep(INTERVAL.mul_f64(jitter)).await;
            }
        }
    }))
    .await;
    let calls = lock(&cluster.calls);
    let within = |from: &Instant| {
        let interval = *from..*from + INTERVAL;
        calls.iter().filter(|at| interval.contains(at)).count()
    };
    let later = calls.iter().skip(first_polls);
    later.map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_servers_polled_every_30_s_cost_at_most_12_calls_in_any_30_s() {
    let calls = most_calls_in_an_interval(1000).await;
    assert!((10..=12).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_servers_polled_every_30_s_cost_at_most_120_calls_in_any_30_s() {
    let calls = most_calls_in_an_interval(10_000).await;
    assert!((100..=120).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_polls_at_once_share_the_calls() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let mut records: Vec<_> = (0..1000).map(record).collect();
    let looks = watch.look(&site, &mut records, Duration::ZERO, far()).await;
    assert!(looks.iter().all(Option::is_some));
    assert_eq!(lock(&cluster.calls).len(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_about_along_with_another_is_looked_at_with_it_in_time_for_the_next_poll() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let mut records: Vec<_> = (0..2).map(record).collect();
    look(&watch, &site, &records[0], MAX_AGE).await;
    tokio::time::sleep(MAX_AGE.mul_f64(0.95)).await;
    let looks = watch.look(&site, &mut records, MAX_AGE, far()).await;
    let ages: Vec<_> = looks
        .into_iter()
        .map(|look| look.unwrap().age_ms())
        .collect();
    assert_eq!(ages, [50, 50]);
    assert_eq!(lock(&cluster.calls).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_young_enough_is_told_where_a_newer_look_tells_nothing() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let mut records: Vec<_> = (0..2).map(record).collect();
    look(&watch, &site, &records[0], MAX_AGE).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.fails.store(true, Ordering::Relaxed);
    let looks = watch.look(&site, &mut records, MAX_AGE, far()).await;
    let told: Vec<_> = looks
        .into_iter()
        .map(|look| look.unwrap().sighting)
        .collect();
    assert!(matches!(told[0], Sighting::Seen(_)));
    assert!(matches!(told[1], Sighting::Unclear(_)));
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_and_nothing_is_refreshed() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    look(&watch, &site, &record(1), MAX_AGE).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(lock(&cluster.calls).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_our_own_write_is_not_an_answer_after_it() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let server = record(1);
    look(&watch, &site, &server, MAX_AGE).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = look(&watch, &site, &server, Duration::ZERO);
    let write_and_look = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let written = Instant::now();
        watch.forget(&site, "task/1");
        let after = look(&watch, &site, &server, MAX_AGE).await;
        assert!(after.began >= written);
    };
    let (before, ()) = tokio::join!(before, write_and_look);
    assert!(matches!(before.sighting, Sighting::Seen(_)));
    assert_eq!(lock(&cluster.calls).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_looks_often_answers_polls_too() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let mut follow = watch.follow(&site, &record(0));
    let records: Vec<_> = (0..50).map(record).collect();
    for record in &records {
        watch.group(&site).join(&mut record.clone(), MAX_AGE);
    }
    follow.next(far()).await;
    for record in &records {
        look(&watch, &site, record, MAX_AGE).await;
    }
    assert_eq!(lock(&cluster.calls).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn starts_that_come_one_after_the_other_look_together() {
    let (watch, (cluster, site)) = (Watch::default(), site());
    let starts = (0..300).map(|number| {
        let (watch, site) = (&watch, &site);
        async move {
            tokio::time::sleep(Duration::from_millis(20) * number).await;
            let record = record(usize::try_from(number).unwrap());
            watch.follow(site, &record).next(far()).await
        }
    });
    let looks = join_all(starts).await;
    assert!(
        looks
            .iter()
            .all(|look| matches!(look.sighting, Sighting::Seen(_)))
    );
    // Six seconds of starts, a look each 150 ms at most.
    let calls = lock(&cluster.calls).len();
    assert!((30..=60).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_those_that_are_known_are_told_and_the_others_are_not() {
    let (watch, (_, site)) = (Watch::default(), site());
    let mut records: Vec<_> = (0..2).map(record).collect();
    look(&watch, &site, &records[0], MAX_AGE).await;
    let soon = Instant::now() + Duration::from_millis(1);
    let looks = watch.look(&site, &mut records, MAX_AGE, soon).await;
    let known: Vec<_> = looks.iter().map(Option::is_some).collect();
    assert_eq!(known, [true, false]);
}
