//! The pages in `docs` tell of every error code what the code says of it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use cloudspawner::error::Failure;
use cloudspawner::wire::{Code, schema};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Each code that may stand on the wire, by the name that it has there.
fn codes() -> BTreeMap<String, Code> {
    let kinds = schema::document()["$defs"]["Code"]["oneOf"].clone();
    let names = kinds.as_array().unwrap().iter();
    names
        .map(|kind| (kind["const"].as_str().unwrap().to_owned(), &kind["const"]))
        .map(|(name, value)| (name, serde_json::from_value(value.clone()).unwrap()))
        .collect()
}

#[test]
fn troubleshooting_has_every_code_with_its_sentence_and_whether_to_try_again() {
    let page = include_str!("../docs/troubleshooting.md");
    let told: BTreeMap<&str, &str> = page
        .split("\n### `")
        .skip(1)
        .map(|section| section.split_once("`\n").unwrap())
        .collect();
    let codes = codes();
    let names: BTreeSet<&str> = codes.keys().map(String::as_str).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), names);
    for (name, code) in &codes {
        let error = Failure::new(*code, "").0;
        let Value::String(retry) = serde_json::to_value(error.retry).unwrap() else {
            unreachable!("retry is a word on the wire")
        };
        let line = format!("*{}* Try again: {retry}.\n", error.user_message);
        assert!(told[name.as_str()].contains(&line), "{name}: {line}");
    }
}
