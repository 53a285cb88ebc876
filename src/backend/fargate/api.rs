//! ECS as far as it is used: RunTask, DescribeTasks, ListTasks, StopTask, and task definitions.
//!
//! Requests are JSON, so that any argument passes; answers are read leniently, so that a field that AWS adds or leaves out
//! breaks nothing.

use super::interfaces::Interfaces;
use super::lookups::Everything;
use super::services::Opener;
use super::task::Task;
use super::vault::Vault;
use crate::cloud::CloudError;
use crate::cloud::aws::{Answer, Call, JsonService, ServiceName};
use crate::cloud::shared_lists::SharedLists;
use crate::net::limiter::{Quota, Ticket};
use crate::net::retry::{self, Again, Pace};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// How ECS is spelt in headers and signatures (botocore's model, metadata).
pub const SERVICE: ServiceName = ServiceName {
    target: "AmazonEC2ContainerServiceV20141113",
    signing: "ecs",
};

/// DescribeTasks takes at most 100 tasks (API Reference, "tasks").
pub const MOST_TASKS_A_CALL: usize = 100;

/// "Request throttling for the Amazon ECS API": cluster resource read actions, burst and sustained rate.
const READ: Quota = Quota {
    name: "ecs cluster read",
    burst: 100.0,
    per_second: 20.0,
};
/// The same page: cluster resource modify actions.
const MODIFY: Quota = Quota {
    name: "ecs cluster modify",
    burst: 100.0,
    per_second: 40.0,
};
/// "AWS Fargate throttling quotas" in the ECS Developer Guide: launches of tasks, and RunTask itself, each 100 and 20.
const LAUNCH: Quota = Quota {
    name: "fargate launch",
    burst: 100.0,
    per_second: 20.0,
};
/// The same page: DescribeTaskDefinition.
const DESCRIBE_DEFINITION: Quota = Quota {
    name: "ecs describe task definition",
    burst: 50.0,
    per_second: 20.0,
};
/// The same page: RegisterTaskDefinition; the emulator lets DeregisterTaskDefinition share it, and so does this.
const REGISTER_DEFINITION: Quota = Quota {
    name: "ecs register task definition",
    burst: 20.0,
    per_second: 1.0,
};
/// What one RunTask uses up, the tightest first.
const RUN_TASK: &[Quota] = &[LAUNCH, MODIFY];

/// The ECS of one account.
pub struct Ecs {
    service: JsonService,
    tags_refused: AtomicBool,
    /// By cluster: everything in it.
    pub everything: SharedLists<Everything>,
    /// What EC2 tells of tasks.
    pub interfaces: Interfaces,
    /// Where servers' tokens are kept, if the settings say so.
    pub vault: Vault,
}

/// RunTask's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunTaskAnswer {
    /// What was created.
    pub tasks: Vec<Task>,
    /// Why nothing was.
    pub failures: Vec<NotRun>,
    /// AWS's id of the request.
    #[serde(skip)]
    pub request_id: Option<String>,
}

/// One entry of `failures`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NotRun {
    /// What it is about.
    pub arn: Option<String>,
    /// The reason: a code such as `RESOURCE:ENI` or MISSING, or a sentence.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}

impl Ecs {
    /// ECS through this service, and beside it what the same account has.
    pub fn new(service: JsonService, opener: &Opener) -> Self {
        Self {
            interfaces: Interfaces::new(opener, &service.account.region),
            vault: Vault::new(opener, &service.account.region),
            service,
            tags_refused: AtomicBool::new(false),
            everything: SharedLists::default(),
        }
    }

    /// Where calls go to, and in whose name: the same for all requests that mean the same account.
    pub fn scope(&self) -> &str {
        &self.service.scope
    }

    /// The region that calls go to.
    pub fn region(&self) -> &str {
        &self.service.account.region
    }

    /// The endpoint that calls go to.
    pub fn endpoint(&self) -> &str {
        &self.service.account.endpoint
    }

    /// Whether this account's policy was found to lack ecs:TagResource.
    pub fn refuses_tags(&self) -> bool {
        self.tags_refused.load(Ordering::Relaxed)
    }

    /// Remembers that the policy lacks ecs:TagResource, so that later starts do not ask in vain.
    pub fn remember_that_tags_are_refused(&self) {
        self.tags_refused.store(true, Ordering::Relaxed);
    }

    /// A place in the queues behind all who have one.
    pub fn ticket(&self) -> Ticket {
        self.service.limiter.ticket()
    }

    /// Waits until the quota leaves room for one RunTask. Dropping the wait creates nothing.
    pub async fn admit_run_task(
        &self,
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        self.service
            .admit("ecs:RunTask", RUN_TASK, ticket, deadline)
            .await
    }

    /// RunTask, once and after `admit_run_task`: only the same clientToken with the same body makes a repetition safe.
    pub async fn run_task(&self, request: &Value) -> Result<RunTaskAnswer, CloudError> {
        let answer = self
            .service
            .call_admitted(&Call::post("RunTask", request), RUN_TASK)
            .await?;
        let mut tasks: RunTaskAnswer = answer.read()?;
        if tasks.tasks.is_empty() && tasks.failures.is_empty() {
            return Err(answer.lacks("tasks and failures"));
        }
        tasks.request_id = answer.request_id;
        Ok(tasks)
    }

    /// DescribeTasks for at most 100; whatever is missing is in the second list.
    pub async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[&str],
        with_tags: bool,
        deadline: Instant,
    ) -> Result<(Vec<Task>, Vec<NotRun>), CloudError> {
        #[derive(Deserialize)]
        struct Described {
            tasks: Option<Vec<Task>>,
            failures: Option<Vec<NotRun>>,
        }
        let mut request = json!({"cluster": cluster, "tasks": arns});
        if with_tags {
            request["include"] = json!(["TAGS"]);
        }
        let told = |answer: &Answer| match answer.read()? {
            Described {
                tasks: None,
                failures: None,
            } => Err(answer.lacks("tasks and failures")),
            Described { tasks, failures } => {
                Ok((tasks.unwrap_or_default(), failures.unwrap_or_default()))
            }
        };
        self.service
            .call_and_read(
                &Call::post("DescribeTasks", &request),
                &[READ],
                deadline,
                told,
            )
            .await
    }

    /// The ARNs of all tasks that run or are on their way up; of one startedBy, or of the whole cluster.
    pub async fn list_tasks(
        &self,
        cluster: &str,
        started_by: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, CloudError> {
        let all = self.list_pages(cluster, started_by, usize::MAX, deadline);
        Ok(all.await?.unwrap_or_default())
    }

    /// The same; none where they fill more pages than `most_pages`.
    pub async fn list_pages(
        &self,
        cluster: &str,
        started_by: Option<&str>,
        most_pages: usize,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, CloudError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            task_arns: Option<Vec<String>>,
            next_token: Option<String>,
        }
        let mut arns = Vec::new();
        let mut next_token: Option<String> = None;
        for _ in 0..most_pages {
            // startedBy must be the only filter (API Reference, "startedBy"); desiredStatus RUNNING is the default.
            let mut request = json!({"cluster": cluster});
            if let Some(started_by) = started_by {
                request["startedBy"] = Value::from(started_by);
            }
            if let Some(token) = &next_token {
                request["nextToken"] = Value::from(token.as_str());
            }
            let told = |answer: &Answer| {
                let page: Page = answer.read()?;
                let found = page.task_arns;
                let found = found.ok_or_else(|| answer.lacks("taskArns"))?;
                Ok((found, page.next_token))
            };
            let call = Call::post("ListTasks", &request);
            let page = self.service.call_and_read(&call, &[READ], deadline, told);
            let (found, following) = page.await?;
            arns.extend(found);
            // A page that names itself as the next one would never end.
            match following {
                Some(token) if !token.is_empty() && next_token.as_ref() != Some(&token) => {
                    next_token = Some(token);
                }
                _ => return Ok(Some(arns)),
            }
        }
        Ok(None)
    }

    /// The tasks themselves, in the largest batches, with their tags.
    pub async fn list_and_describe(
        &self,
        cluster: &str,
        started_by: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<Task>, CloudError> {
        let arns = self.list_tasks(cluster, started_by, deadline).await?;
        self.describe_all(cluster, &arns, deadline).await
    }

    /// Any number of tasks, with their tags.
    pub async fn describe_all(
        &self,
        cluster: &str,
        arns: &[String],
        deadline: Instant,
    ) -> Result<Vec<Task>, CloudError> {
        let mut tasks = Vec::with_capacity(arns.len());
        for batch in arns.chunks(MOST_TASKS_A_CALL) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            let described = self.describe_tasks(cluster, &batch, true, deadline);
            tasks.extend(described.await?.0);
        }
        Ok(tasks)
    }

    /// StopTask; may be repeated.
    pub async fn stop_task(
        &self,
        cluster: &str,
        arn: &str,
        reason: &str,
        deadline: Instant,
    ) -> Result<Task, CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Stopped {
            task: Task,
        }
        let request = json!({"cluster": cluster, "task": arn, "reason": reason});
        let told = |answer: &Answer| {
            let Stopped { task } = answer.read()?;
            if task.task_arn.is_empty() {
                return Err(answer.lacks("task"));
            }
            Ok(task)
        };
        self.service
            .call_and_read(&Call::post("StopTask", &request), &[MODIFY], deadline, told)
            .await
    }

    /// DescribeTaskDefinition with its tags, as ECS answers; none where there is no such one. Of a family it is the newest
    /// active revision.
    pub async fn describe_task_definition(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Value>, CloudError> {
        let request = json!({"taskDefinition": name, "include": ["TAGS"]});
        let call = Call::post("DescribeTaskDefinition", &request);
        match self
            .service
            .call(&call, &[DESCRIBE_DEFINITION], deadline)
            .await
        {
            Ok(definition) => Ok(Some(definition)),
            // The one code that the API Reference has for a definition that is not found.
            Err(error) if error.cloud_code() == Some("ClientException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// RegisterTaskDefinition, repeated only where it certainly had no effect: each success is a revision.
    pub async fn register_task_definition(
        &self,
        request: &Value,
        deadline: Instant,
    ) -> Result<Value, CloudError> {
        let ticket = self.service.limiter.ticket();
        let call = Call::post("RegisterTaskDefinition", request);
        let quotas = [REGISTER_DEFINITION];
        let attempt = || self.service.call_once(&call, &quotas, &ticket, deadline);
        let again = |error: &CloudError| {
            if error.had_no_effect() {
                error.again()
            } else {
                Again::No
            }
        };
        let context = &self.service.context;
        let answer = retry::until(
            context,
            "ecs:RegisterTaskDefinition",
            Pace::CALL,
            deadline,
            attempt,
            again,
        )
        .await?;
        answer.read()
    }

    /// The ARNs of all active task definitions of the account and region, by family.
    pub async fn list_task_definitions(
        &self,
        deadline: Instant,
    ) -> Result<Vec<String>, CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Page {
            task_definition_arns: Vec<String>,
            next_token: Option<String>,
        }
        let mut arns = Vec::new();
        let mut request = json!({"status": "ACTIVE"});
        loop {
            let call = Call::post("ListTaskDefinitions", &request);
            let page = self.service.call(&call, &[DESCRIBE_DEFINITION], deadline);
            let page: Page = page.await?;
            arns.extend(page.task_definition_arns);
            match page.next_token {
                // A page that names itself as the next one would never end.
                Some(token) if !token.is_empty() && request["nextToken"] != token.as_str() => {
                    request["nextToken"] = Value::from(token);
                }
                _ => return Ok(arns),
            }
        }
    }

    /// DeregisterTaskDefinition; may be repeated. Tasks that run go on.
    pub async fn deregister_task_definition(
        &self,
        arn: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let request = json!({"taskDefinition": arn});
        let call = Call::post("DeregisterTaskDefinition", &request);
        let answer = self
            .service
            .call::<IgnoredAny>(&call, &[REGISTER_DEFINITION], deadline);
        answer.await.map(|_| ())
    }
}
