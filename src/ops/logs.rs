//! `logs`: what a server wrote last.

use super::{Ops, check_server};
use crate::backend::{Backend, Found, Lines, Record, Settings, names};
use crate::error::Failure;
use crate::wire::reply::LogsResult;
use crate::wire::{Code, LogsParams, Phase};
use tokio::time::Instant;

/// Where the request does not say.
const LINES: u32 = 100;
/// CloudWatch Logs gives so many in one answer (GetLogEvents, "limit").
const MOST_LINES: u32 = 10_000;

impl Ops {
    /// The last lines, or those after a mark. May be repeated; nothing is changed.
    ///
    /// # Errors
    /// `bad_request`: an unknown backend, nobody's server; `not_found` where the server or its log is not there.
    pub async fn logs(
        &self,
        params: &LogsParams,
        deadline: Instant,
    ) -> Result<LogsResult, Failure> {
        check_server(&params.server, "params.server")?;
        let lines = params.lines.unwrap_or(LINES);
        if !(1..=MOST_LINES).contains(&lines) {
            let message = format!("params.lines: must be 1 to {MOST_LINES}, not {lines}");
            return Err(Failure::new(Code::BadRequest, message));
        }
        let backend = self.registry.get(&params.backend)?;
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        let wanted = Lines {
            most: usize::try_from(lines).unwrap_or(usize::MAX),
            after: params.after.as_deref(),
        };
        let read = async {
            let record = whose(backend.as_ref(), settings, params, deadline).await?;
            backend.logs(settings, &record, wanted, deadline).await
        };
        read.await.map_err(|failure| failure.of(backend.name()))
    }
}

/// The record in the state, or of the newest server that bears the key.
async fn whose(
    backend: &dyn Backend,
    settings: Settings<'_>,
    params: &LogsParams,
    deadline: Instant,
) -> Result<Record, Failure> {
    let state = params.state.as_ref();
    let mut key = names::key(&params.server);
    if let Some(state) = state {
        let record = Record::read(state.clone(), backend.name())?;
        if record.reference.is_some() {
            return Ok(record);
        }
        key = record.key;
    }
    let mut found: Vec<Found> = Vec::new();
    for site in backend.sites(settings, None).await? {
        found.extend(site.find(&key, deadline).await?);
    }
    let newest = found
        .into_iter()
        .max_by_key(|found| (found.report.phase == Phase::Running, found.created_at_ms));
    newest.map(|found| found.record).ok_or_else(|| {
        let message = format!(
            "no server of {:?} is found by its key {key}; one that has ended is found by its state alone",
            params.server.user
        );
        Failure::new(Code::NotFound, message)
    })
}
