//! One start of a task: RunTask under a client token, so that a lost answer never makes a second task.

use super::api::{Ecs, RunTaskAnswer};
use super::config::{Config, RunTask};
use super::record::{
    self, ADDRESS, CLUSTER, CONTAINER, ENDPOINT, PORT, REGION, RUN, SCHEME, SECRET, TAGGED,
    TASK_DEFINITION,
};
use super::site::Cluster;
use super::storage::Storage;
use super::{console, definition, status, vault};
use crate::backend::{Created, Launch, Prepared, Record, Settled, Site, Then, names};
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::limiter::Ticket;
use crate::net::retry::Again;
use crate::wire::{Code, StartParams};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long clean-up waits for a RunTask that was under way before it asks again; it has 5 s in all after a deadline
/// (protocol, start), and RunTask answers within one as a rule.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

type Answer = Result<RunTaskAnswer, CloudError>;

/// A start that is on its way.
pub struct TaskLaunch {
    ecs: Arc<Ecs>,
    cluster: Arc<Cluster>,
    run_task: RunTask,
    record: Record,
    older: Option<Record>,
    /// A call whose answer nobody has read yet; it goes on when the one who waits is dropped.
    under_way: Option<JoinHandle<Answer>>,
    /// Whether a call under the present token may have had an effect that is not known.
    in_doubt: bool,
    /// The start's place among all that the account has room for.
    ticket: Arc<Ticket>,
    /// What the server mounts, if anything.
    storage: Option<Storage>,
    container: Option<String>,
    kms_key: Option<String>,
    /// Whether the token may stand in a secret.
    secret_left: bool,
}

impl TaskLaunch {
    /// Checks everything and makes the record; `earlier` is the state that the request brought.
    pub fn prepare(
        params: &StartParams,
        config: Config,
        earlier: Option<Record>,
        ecs: Arc<Ecs>,
        storage: Option<Storage>,
        now_ms: u64,
    ) -> Result<Self, Failure> {
        let resumed = earlier
            .as_ref()
            .is_some_and(|r| r.attempt == params.attempt);
        let (same, older) = match earlier {
            Some(record) if record.attempt == params.attempt => (Some(record), None),
            other => (None, other),
        };
        let key = same
            .as_ref()
            .or(older.as_ref())
            .map_or_else(|| names::key(&params.server), |record| record.key.clone());
        let run_task = RunTask::build(&config, params, &key)?;
        let needs_copy = storage.is_some() || run_task.token.is_some();
        // A start that carries on may have had its RunTask answered by nobody.
        let prepared = |record: &Record| !needs_copy || record.text(TASK_DEFINITION).is_some();
        let in_doubt = same
            .as_ref()
            .is_some_and(|record| record.reference.is_none() && prepared(record));
        let record = if let Some(record) = same {
            record
        } else {
            let mut record = new_record(params, &config, &ecs, key, now_ms)?;
            if run_task.token.is_some() {
                record.own.insert(SECRET.to_owned(), Value::from(true));
            }
            record
        };
        let secret_left = resumed && record::has_secret(&record);
        let name = record.text(CLUSTER).unwrap_or_default().to_owned();
        let container = config.container_name.clone();
        let kms_key = config.token_kms_key.clone();
        let cluster = Arc::new(Cluster::new(ecs.clone(), name, config));
        Ok(Self {
            storage,
            container,
            kms_key,
            secret_left,
            ticket: Arc::new(ecs.ticket()),
            ecs,
            cluster,
            run_task,
            record,
            older,
            under_way: None,
            in_doubt,
        })
    }

    fn tagged(&self) -> bool {
        self.record
            .own
            .get(TAGGED)
            .and_then(Value::as_bool)
            .unwrap_or(true)
    }

    /// RunTask under the present token; a call that is under way already is waited for instead.
    async fn call(&mut self, deadline: Instant) -> Answer {
        if self.under_way.is_none() {
            self.ecs.admit_run_task(&self.ticket, deadline).await?;
            let token = format!("{}-{}", self.record.attempt, record::run(&self.record));
            let request = self.run_task.request(&self.record, &token, self.tagged());
            let ecs = self.ecs.clone();
            self.under_way = Some(tokio::spawn(async move { ecs.run_task(&request).await }));
        }
        let Some(under_way) = self.under_way.as_mut() else {
            return Err(lost("there is no call to wait for"));
        };
        let answer = under_way
            .await
            .unwrap_or_else(|error| Err(lost(&error.to_string())));
        self.under_way = None;
        answer
    }

    /// Keeps the token where the task reads it; the container's secrets.
    async fn put_secret(&mut self, deadline: Instant) -> Result<Vec<(String, String)>, Failure> {
        let Some(token) = &self.run_task.token else {
            return Ok(Vec::new());
        };
        self.secret_left = true;
        let kept = vault::Kept {
            key: &self.record.key,
            hub: &self.record.hub,
            attempt: &self.record.attempt,
            text: token.text(),
            kms_key: self.kms_key.as_deref(),
            tags: self.run_task.tags(),
        };
        let arn = self.ecs.vault.put(&kept, deadline).await?;
        Ok(token.references(&arn))
    }

    fn judge(&mut self, answer: Answer) -> Created {
        let error = match answer {
            Ok(answer) => return self.judge_tasks(answer),
            Err(error) => error,
        };
        if let Some(arn) = adopted(&error) {
            return self.created(arn);
        }
        if !error.had_no_effect() {
            self.in_doubt = true;
            return Created::Unanswered(error.into_failure());
        }
        let then = match error.again() {
            Again::After(_) => Then::Again,
            Again::No if error.code() == Code::CapacityUnavailable => Then::Again,
            // Nothing but the tags can be left out, and a policy without ecs:TagResource refuses them.
            // While an earlier call under this token is in doubt, a new token could make a second task.
            Again::No
                if error.code() == Code::PermissionDenied && self.tagged() && !self.in_doubt =>
            {
                self.record
                    .own
                    .insert(TAGGED.to_owned(), Value::from(false));
                Then::AtOnceRenewed
            }
            Again::No => Then::GiveUp,
        };
        Created::No {
            failure: error.into_failure(),
            then,
        }
    }

    fn judge_tasks(&mut self, mut answer: RunTaskAnswer) -> Created {
        if let Some(task) = answer
            .tasks
            .drain(..)
            .find(|task| !task.task_arn.is_empty())
        {
            return self.created(task.task_arn);
        }
        self.in_doubt = false;
        let failure = status::not_run(&answer.failures, answer.request_id);
        let then = if failure.code() == Code::CapacityUnavailable {
            Then::AgainRenewed
        } else {
            Then::GiveUp
        };
        Created::No { failure, then }
    }

    fn created(&mut self, arn: String) -> Created {
        self.in_doubt = false;
        if !self.tagged() {
            self.ecs.remember_that_tags_are_refused();
        }
        self.record.reference = Some(arn);
        Created::Yes
    }

    async fn find_out(&mut self, deadline: Instant) -> Result<Settled, Failure> {
        let mut patience = FIRST_PATIENCE;
        loop {
            if self.record.reference.is_some() {
                return Ok(Settled::Created);
            }
            if self.under_way.is_none() && !self.in_doubt {
                return Ok(Settled::Nothing);
            }
            // The same token again: ECS answers with the task that the lost call created. If that call never arrived, this
            // one creates it, and the caller removes it at once; a list would show a young task too late to be proof.
            let until = deadline.min(Instant::now() + patience);
            let answer = tokio::time::timeout_at(until, self.call(deadline)).await;
            let answer = answer.unwrap_or_else(|_| {
                // The call that hangs is left behind: whatever it still does, it does under the same token.
                self.under_way = None;
                patience *= 2;
                Err(lost("no answer in time"))
            });
            match self.judge(answer) {
                Created::Yes => return Ok(Settled::Created),
                Created::No { failure, then } => match then {
                    Then::Again if !self.in_doubt => return Ok(Settled::Nothing),
                    Then::Again => wait_a_little(deadline, failure).await?,
                    // A definite no to a repetition says nothing of the call before it, unless that is settled.
                    _ if self.in_doubt => return Err(failure),
                    _ => return Ok(Settled::Nothing),
                },
                Created::Unanswered(failure) => wait_a_little(deadline, failure).await?,
            }
        }
    }
}

impl Launch for TaskLaunch {
    fn record(&self) -> &Record {
        &self.record
    }

    fn site(&self) -> Arc<dyn Site> {
        self.cluster.clone()
    }

    fn older(&self) -> Option<&Record> {
        self.older.as_ref()
    }

    fn may_exist(&self) -> bool {
        self.record.reference.is_some() || self.under_way.is_some() || self.in_doubt
    }

    fn leaves_more(&self) -> bool {
        self.secret_left
    }

    fn warnings(&self) -> &[String] {
        &self.run_task.warnings
    }

    fn console(&self) -> Option<String> {
        console::page(self.record.reference.as_deref()?)
    }

    fn ticket(&self) -> Option<Arc<Ticket>> {
        Some(self.ticket.clone())
    }

    fn prepare(&mut self, deadline: Instant) -> BoxFuture<'_, Result<Prepared, Failure>> {
        Box::pin(async move {
            // What an earlier try of this start has asked RunTask for is asked for again, to the byte.
            let known = self.record.text(TASK_DEFINITION).is_some();
            let needs_copy = self.storage.is_some() || self.run_task.token.is_some();
            if known || !needs_copy {
                return Ok(Prepared::default());
            }
            let (volumes, left_out) = match &self.storage {
                Some(storage) => storage.find_or_make(deadline).await?,
                None => Default::default(),
            };
            let secrets = self.put_secret(deadline).await?;
            let wanted = definition::Wanted {
                source: self.run_task.task_definition(),
                container: self.container.as_deref(),
                has_role: self.run_task.has_role(),
                hub: &self.record.hub,
                volumes: &volumes,
                secrets: &secrets,
                execution_role: self.run_task.execution_role(),
            };
            let definition = if volumes.is_empty() && secrets.is_empty() {
                wanted.source.to_owned()
            } else {
                definition::find_or_register(&self.ecs, wanted, deadline).await?
            };
            let own = &mut self.record.own;
            own.insert(TASK_DEFINITION.to_owned(), Value::from(definition));
            Ok(Prepared {
                news: true,
                left_out,
            })
        })
    }

    fn create(&mut self, deadline: Instant) -> BoxFuture<'_, Created> {
        Box::pin(async move {
            if self.record.reference.is_some() {
                return Created::Yes;
            }
            let answer = self.call(deadline).await;
            self.judge(answer)
        })
    }

    fn renew(&mut self) {
        let next = record::run(&self.record) + 1;
        self.record.own.insert(RUN.to_owned(), Value::from(next));
        self.record.reference = None;
        self.record.url = None;
        self.in_doubt = false;
    }

    fn settle(&mut self, deadline: Instant) -> BoxFuture<'_, Result<Settled, Failure>> {
        Box::pin(self.find_out(deadline))
    }
}

fn new_record(
    params: &StartParams,
    config: &Config,
    ecs: &Ecs,
    key: String,
    now_ms: u64,
) -> Result<Record, Failure> {
    let mut record = Record {
        key,
        hub: params.server.hub.clone(),
        attempt: params.attempt.clone(),
        attempted_at_ms: now_ms,
        service_prefix: params.spec.service_prefix.clone(),
        ..Record::default()
    };
    let address = config.address.unwrap_or_default().name();
    for (name, value) in [
        (REGION, Value::from(ecs.region())),
        (ENDPOINT, Value::from(ecs.endpoint())),
        (CLUSTER, Value::from(config.start_cluster()?)),
        (SCHEME, Value::from(params.spec.scheme.as_str())),
        (PORT, Value::from(params.spec.port)),
        (CONTAINER, Value::from(config.container_name.clone())),
        (ADDRESS, Value::from(address)),
        (RUN, Value::from(1)),
        (TAGGED, Value::from(!ecs.refuses_tags())),
    ] {
        record.own.insert(name.to_owned(), value);
    }
    Ok(record)
}

/// The task that already has our token, where ECS says so (RunTask, `ConflictException`, "resourceIds").
fn adopted(error: &CloudError) -> Option<String> {
    let CloudError::Refused(refusal) = error else {
        return None;
    };
    if refusal.cloud_code.as_deref() != Some("ConflictException") {
        return None;
    }
    Some(
        refusal
            .body
            .get("resourceIds")?
            .get(0)?
            .as_str()?
            .to_owned(),
    )
}

fn lost(why: &str) -> CloudError {
    CloudError::NoAnswer {
        operation: "ecs:RunTask".to_owned(),
        source: crate::net::DoorError::Interrupted {
            host: "ECS".to_owned(),
            why: why.to_owned(),
        },
    }
}

/// A pause between two tries to find out; the failure comes back where none fits before the deadline.
async fn wait_a_little(deadline: Instant, failure: Failure) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_millis(500);
    if Instant::now() + PAUSE >= deadline {
        return Err(failure);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
