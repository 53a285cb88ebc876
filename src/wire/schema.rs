//! The JSON Schema of every frame, made from the types themselves, so that it cannot say something else.

use super::reply::{
    CancelResult, CheckResult, DryRunResult, Frame, GcResult, ListResult, LogsResult,
    OptionsResult, PollResult, ShareResult, StartResult, StatsResult, StopResult,
};
use super::request::{
    CancelParams, CheckParams, GcParams, ListParams, LogsParams, OptionsParams, PollParams,
    ShareParams, StartParams, StatsParams, StopParams,
};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// One document: any line of the protocol is valid under it, and `$defs` has each kind under its own name.
///
/// A result's own form follows from the verb, which stands in the request alone: `results` says by verb which definition it has.
#[must_use]
pub fn document() -> Value {
    let mut read = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    let mut written = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let requests = [
        request::<StartParams>(&mut read, "start"),
        request::<PollParams>(&mut read, "poll"),
        request::<StopParams>(&mut read, "stop"),
        request::<GcParams>(&mut read, "gc"),
        request::<CheckParams>(&mut read, "check"),
        request::<ShareParams>(&mut read, "share"),
        request::<OptionsParams>(&mut read, "options"),
        request::<LogsParams>(&mut read, "logs"),
        request::<ListParams>(&mut read, "list"),
        request::<StatsParams>(&mut read, "stats"),
        request::<CancelParams>(&mut read, "cancel"),
    ];
    let frame = written.subschema_for::<Frame>();
    let results = json!({
        "start": written.subschema_for::<StartResult>(),
        "poll": written.subschema_for::<PollResult>(),
        "stop": written.subschema_for::<StopResult>(),
        "gc": written.subschema_for::<GcResult>(),
        "check": written.subschema_for::<CheckResult>(),
        "share": written.subschema_for::<ShareResult>(),
        "options": written.subschema_for::<OptionsResult>(),
        "logs": written.subschema_for::<LogsResult>(),
        "list": written.subschema_for::<ListResult>(),
        "stats": written.subschema_for::<StatsResult>(),
        "cancel": written.subschema_for::<CancelResult>(),
        "--dry-run": written.subschema_for::<DryRunResult>(),
    });
    let mut definitions = Map::new();
    definitions.extend(read.take_definitions(true));
    definitions.extend(written.take_definitions(true));
    definitions.insert("Request".to_owned(), json!({"oneOf": requests}));
    definitions.insert("Ack".to_owned(), ack());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cloudspawner's wire protocol, version 1: one line",
        "anyOf": [{"$ref": "#/$defs/Request"}, {"$ref": "#/$defs/Ack"}, frame],
        "results": results,
        "$defs": definitions,
    })
}

/// The envelope with the verb's params. A command that reads one request takes it without `verb` and `id`, too.
fn request<P: schemars::JsonSchema>(read: &mut SchemaGenerator, verb: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "v": {"const": super::VERSION},
            "id": {"type": ["string", "null"]},
            "verb": {"const": verb},
            "timeout_ms": {"type": ["integer", "null"], "minimum": 0},
            "ack": {"type": ["boolean", "null"]},
            "params": read.subschema_for::<P>(),
        },
        "required": ["v", "verb", "params"],
    })
}

fn ack() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"const": "ack"},
            "id": {"type": ["string", "null"]},
            "seq": {"type": "integer", "minimum": 1},
        },
        "required": ["type", "seq"],
    })
}
