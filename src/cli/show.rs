//! Frames as a person reads them: a sentence, a table, an error with what to do about it.
//!
//! What comes from a cloud or a server is shown as text: nothing in it moves the cursor or colours the terminal.

use crate::wire::reply::{
    CheckResult, DryRunResult, GcResult, ListResult, LogsResult, OptionsResult, PollResult,
    ShareResult, StartResult, StopResult,
};
use crate::wire::{Code, ErrorObject, Phase, StaleServer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A result of `verb`; as JSON where it is not one.
pub fn result(verb: &str, result: &Value) -> String {
    let shown = match verb {
        "start" => typed(result, |r: StartResult| match r.target_url {
            Some(target) => format!("Running at {}, which leads to {target}", r.url),
            None => format!("Running at {}", r.url),
        }),
        "stop" => typed(result, |r: StopResult| match r.phase {
            Phase::Gone => "There is nothing to stop, or nothing any more".to_owned(),
            other => format!("Stopped; its phase is {}", word(other)),
        }),
        "poll" => typed(result, poll),
        "gc" => typed(result, |r: GcResult| gc(&r)),
        "check" => typed(result, check),
        "share" => typed(result, |r: ShareResult| {
            let made = if r.share.created { ", made now" } else { "" };
            format!("{} {}{made}", r.share.kind, r.share.name)
        }),
        "options" => typed(result, options),
        "logs" => typed(result, logs),
        "list" => typed(result, list),
        "dry run" => typed(result, dry_run),
        _ => None,
    };
    shown.unwrap_or_else(|| result.to_string())
}

fn dry_run(result: DryRunResult) -> String {
    let mut lines = Vec::new();
    for call in result.calls {
        let made = if call.made { "made    " } else { "not made" };
        let action = call.action.unwrap_or_default();
        lines.push(format!("{made}  {} {} {action}", call.method, call.url));
        if !call.body.is_null() {
            let body = serde_json::to_string_pretty(&call.body).unwrap_or_default();
            lines.extend(body.lines().map(|line| format!("          {line}")));
        }
    }
    lines.push(result.stopped);
    lines.join("\n")
}

/// An error: the admin's sentence, what led to it, its code, and what to do.
pub fn error(error: &ErrorObject) -> String {
    let mut lines = vec![format!("Error: {}", error.message)];
    lines.extend(
        error
            .causes
            .iter()
            .map(|cause| format!("  because: {cause}")),
    );
    let place = &error.context;
    let details = [
        place.operation.as_ref(),
        place.cloud_code.as_ref(),
        place.request_id.as_ref(),
    ];
    let details: Vec<&str> = details.into_iter().flatten().map(String::as_str).collect();
    let code = serde_json::to_value(error.code).unwrap_or_default();
    let code = code.as_str().unwrap_or_default();
    lines.push(if details.is_empty() {
        format!("  code: {code}")
    } else {
        format!("  code: {code} ({})", details.join(", "))
    });
    lines.push(format!("  hint: {}", hint(error.code)));
    if error.cleanup == crate::wire::Cleanup::Needed {
        lines.push("  left: something may still be there and cost money; stop it again".to_owned());
    }
    lines.join("\n")
}

/// What an admin does about it.
fn hint(code: Code) -> &'static str {
    match code {
        Code::BadRequest | Code::UnknownVerb | Code::UnsupportedVersion => {
            "See --help for what the command takes."
        }
        Code::InvalidConfig => {
            "Mend what the message names; `cloudspawner check` looks at all of it."
        }
        Code::Unauthenticated => {
            "Log in (aws sso login, az login), or name a file with --credentials."
        }
        Code::PermissionDenied => {
            "Give these credentials the permission; deployments/ has the least that is needed."
        }
        Code::QuotaExceeded => "Ask the cloud for a higher quota, or stop something.",
        Code::CapacityUnavailable => "Try again later, in another zone, or with another size.",
        Code::NotFound => "See that the name is right, and the region and the account.",
        Code::Conflict => "See what is in the way; the message names it.",
        Code::Throttled | Code::Unavailable => "Try again in a few minutes.",
        Code::Deadline => "Give it more time with --timeout, or look at `cloudspawner logs`.",
        Code::Cancelled => "Nothing to do.",
        Code::StartFailed => "Look at `cloudspawner logs`.",
        Code::StateUnreadable => "Leave --state out: the server is found by its key, too.",
        Code::Internal => "This is a fault of cloudspawner; please report it.",
    }
}

fn typed<T: DeserializeOwned>(result: &Value, show: impl Fn(T) -> String) -> Option<String> {
    serde_json::from_value(result.clone()).ok().map(show)
}

fn poll(result: PollResult) -> String {
    let rows = result.servers.into_iter().map(|server| {
        let why = server.error.map(|error| error.message).or(server.reason);
        let exit = server.exit_code.map(|code| code.to_string());
        [
            word(server.phase),
            or_dash(exit),
            or_dash(server.url),
            or_dash(why),
        ]
    });
    table(["phase", "exit", "url", "why"], rows)
}

fn gc(result: &GcResult) -> String {
    let mut parts = Vec::new();
    if !result.stale.is_empty() {
        parts.push(stale(&result.stale));
    } else if result.errors.is_empty() {
        parts.push("Nothing is stale".to_owned());
    }
    if !result.removed.is_empty() {
        parts.push(format!(
            "Removed {}:\n{}",
            result.removed.len(),
            result.removed.join("\n")
        ));
    }
    parts.extend(result.errors.iter().map(error));
    parts.join("\n")
}

fn stale(servers: &[StaleServer]) -> String {
    let rows = servers
        .iter()
        .map(|s| [age(s.age_ms), s.key.clone(), s.reference.clone()]);
    table(["age", "key", "ref"], rows)
}

fn check(result: CheckResult) -> String {
    let mut lines = Vec::new();
    for check in result.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        lines.push(format!("{mark}  {}: {}", check.name, check.message));
        lines.extend(check.hint.map(|hint| format!("      hint: {hint}")));
    }
    lines.join("\n")
}

fn options(result: OptionsResult) -> String {
    let projects = result.projects.into_iter();
    let projects = projects.map(|p| [p.display_name, p.workspace, p.resource_group, p.location]);
    let sizes = result.sizes.into_iter().flat_map(|(region, sizes)| {
        sizes.into_iter().map(move |size| {
            let number = |n: Option<u32>| or_dash(n.map(|n| n.to_string()));
            let memory = or_dash(size.memory_gib.map(|gib| gib.to_string()));
            [
                region.clone(),
                size.name,
                number(size.vcpus),
                number(size.gpus),
                memory,
            ]
        })
    });
    let projects = table(
        ["project", "workspace", "resource group", "region"],
        projects,
    );
    let sizes = table(["region", "size", "vCPU", "GPU", "GiB"], sizes);
    format!("{projects}\n\n{sizes}")
}

fn logs(result: LogsResult) -> String {
    let lines = result.lines.into_iter().map(|line| match line.time {
        Some(time) => format!("{time}  {}", line.message),
        None => line.message,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn list(result: ListResult) -> String {
    let mut parts = Vec::new();
    if !result.servers.is_empty() {
        let rows = result.servers.into_iter().map(|server| {
            [
                server.backend,
                word(server.phase),
                or_dash(server.age_ms.map(age)),
                or_dash(server.user),
                or_dash(server.size),
                or_dash(Some(tags(&server.tags)).filter(|tags| !tags.is_empty())),
                server.reference,
            ]
        });
        parts.push(table(
            ["backend", "phase", "age", "user", "size", "tags", "ref"],
            rows,
        ));
    } else if result.errors.is_empty() {
        // What could not be looked at may hold anything.
        parts.push("The hub has nothing there".to_owned());
    }
    parts.extend(result.errors.iter().map(error));
    parts.join("\n")
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let each = tags.iter().map(|(name, value)| format!("{name}={value}"));
    each.collect::<Vec<_>>().join(" ")
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn word(phase: Phase) -> String {
    let word = serde_json::to_value(phase).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// The largest unit and the next: a person compares ages, and does not count seconds.
fn age(ms: u64) -> String {
    let (minutes, hours, days) = (ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{}s", ms / 1000),
        (0, 0, _) => format!("{minutes}m"),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Columns as wide as their widest entry.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let head = head.map(str::to_uppercase);
    let rows = rows.map(|row| row.map(|cell| printable(&cell).replace('\n', " ")));
    let rows: Vec<[String; N]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The text without anything that a terminal obeys: escape sequences go as a whole, other control characters but newline and tab one
/// by one.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut left = text.chars().peekable();
    while let Some(c) = left.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            // ECMA-48, 5.4: a control sequence ends with a character from @ to ~.
            '\u{1b}' if left.peek() == Some(&'[') => {
                left.next();
                left.by_ref().find(|c| ('@'..='~').contains(c));
            }
            c if c.is_control() => {}
            // Unicode, "Bidirectional Algorithm": what turns the direction of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let hostile = "\u{1b}[2J\u{1b}[1;31mred\u{1b}[0m\u{7}\r\u{9b}31m\u{202e}\tend\n";
        assert_eq!(printable(hostile), "red31m\tend\n");
        assert_eq!(printable("\u{1b}"), "");
        assert_eq!(printable("\u{1b}[99"), "");
        assert_eq!(printable("日本 😀 <b>"), "日本 😀 <b>");
    }

    #[test]
    fn ages_have_the_unit_that_a_person_would_choose() {
        for (ms, shown) in [
            (5_999, "5s"),
            (60_000, "1m"),
            (5_400_000, "1h30m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(age(ms), shown);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_entry() {
        let rows = [
            ["a".to_owned(), "b".to_owned()],
            ["long\n1".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["x", "y"], rows.into_iter()),
            "X       Y\na       b\nlong 1"
        );
    }
}
