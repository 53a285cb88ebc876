//! ECS's actions. Each gets a request whose types were checked, decides under the world's lock, and answers at once; time
//! passes in `lifecycle` and `run`.

mod catalogue;
pub mod clusters;
pub mod definitions;
mod find;
mod permission;
mod run_task;
pub mod shape;
mod validate;
mod view;
mod volumes;

use std::sync::Arc;

use serde_json::Value;

use crate::api_error::ApiError;
use crate::faults::Fault;
use crate::identity::Key;
use crate::quota::Quotas;
use crate::world::{Emulator, World};

/// One call whose signature was checked.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub emulator: &'a Arc<Emulator>,
    pub key: &'a Key,
    /// A fault that strikes this call and that the action itself must bring about.
    pub fault: Option<&'a Fault>,
    pub now_ms: u64,
}

/// Answers an action.
///
/// # Errors
/// What ECS would refuse with.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    let shape = match action {
        "RunTask" => &shape::RUN_TASK,
        "DescribeTasks" => &shape::DESCRIBE_TASKS,
        "ListTasks" => &shape::LIST_TASKS,
        "StopTask" => &shape::STOP_TASK,
        "DescribeClusters" => &shape::DESCRIBE_CLUSTERS,
        "DescribeTaskDefinition" => &shape::DESCRIBE_TASK_DEFINITION,
        "RegisterTaskDefinition" => &shape::REGISTER_TASK_DEFINITION,
        "ListTaskDefinitions" => &shape::LIST_TASK_DEFINITIONS,
        "DeregisterTaskDefinition" => &shape::DEREGISTER_TASK_DEFINITION,
        "TagResource" => &shape::TAG_RESOURCE,
        _ => {
            return Err(ApiError::new(
                "UnknownOperationException",
                format!("The emulator has no {action}."),
            ));
        }
    };
    let mut unknown = Vec::new();
    shape::check(&mut request, shape, action, &mut unknown)?;
    let mut world = call.emulator.world();
    let world = &mut *world;
    for path in unknown {
        world.calls.unknown_member(path);
    }
    let launches = u32::try_from(request["count"].as_i64().unwrap_or(1)).unwrap_or(1);
    if world.settings.quotas == Quotas::Documented
        && !world.buckets.take(action, launches, call.now_ms)
    {
        return Err(ApiError::throttled());
    }
    act(call, action, request, world)
}

fn act(call: Call<'_>, action: &str, request: Value, world: &mut World) -> Result<Value, ApiError> {
    match action {
        "RunTask" => run_task::run_task(call, request, world),
        "DescribeTasks" => find::describe_tasks(call, &request, world),
        "ListTasks" => find::list_tasks(call, &request, world),
        "StopTask" => find::stop_task(call, &request, world),
        "DescribeClusters" => clusters::describe_clusters(call, &request, world),
        "DescribeTaskDefinition" => {
            permission::check(call, "ecs:DescribeTaskDefinition", "*", None)?;
            world.definitions.describe(&request)
        }
        "ListTaskDefinitions" => catalogue::list(call, &request, world),
        "DeregisterTaskDefinition" => catalogue::deregister(call, &request, world),
        "TagResource" => catalogue::tag(call, &request, world),
        _ => catalogue::register(call, request, world),
    }
}
