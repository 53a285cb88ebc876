//! The short form: golden files and tapes with something changed. `PROPTEST_CASES` says how often; 256 take seconds.

use super::TARGETS;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use std::path::Path;

/// The JSON of every golden file, state blob and tape: what is well formed, to begin with.
fn seeds() -> Vec<Value> {
    fn walk(folder: &Path, seeds: &mut Vec<Value>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, seeds);
            } else if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read(&path).unwrap();
                seeds.push(serde_json::from_slice(&text).unwrap());
            }
        }
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut seeds = Vec::new();
    for folder in ["wire", "tapes"] {
        walk(&tests.join(folder), &mut seeds);
    }
    let bodies: Vec<Value> = seeds
        .iter()
        .filter_map(|seed| seed.pointer("/response/body").cloned())
        .collect();
    seeds.extend(bodies);
    assert!(seeds.len() > 40, "{}", seeds.len());
    seeds
}

/// Any JSON, with numbers and texts that tend to be trouble.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![
            "",
            "fargate",
            "azure_ml",
            "RUNNING",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+23:59",
            "P3DT0.0000000001S",
            "\u{0}",
        ])
        .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(".{0,8}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Every value inside a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` in the place of the nth value.
fn replace(value: &mut Value, nth: &mut usize, new: &Value) {
    if *nth == 0 {
        *value = new.clone();
        *nth = usize::MAX;
        return;
    }
    *nth = nth.saturating_sub(1);
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        _ => Vec::new(),
    };
    for value in inner {
        if *nth > usize::MAX / 2 {
            return;
        }
        replace(value, nth, new);
    }
}

/// Something well formed of which one part is anything.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    (select(seeds()), any::<Index>(), json()).prop_map(|(mut seed, index, new)| {
        let mut nth = index.index(count(&seed));
        replace(&mut seed, &mut nth, &new);
        seed.to_string().into_bytes()
    })
}

fn give(data: &[u8]) {
    for (_, target) in TARGETS {
        target(data);
    }
    // The targets that take a status from the first byte: success, and a refusal.
    for status in [0, 3] {
        let with_status = [&[status], data].concat();
        super::aws(&with_status);
        super::azure(&with_status);
    }
}

proptest! {
    #[test]
    fn no_bytes_break_anything(data in vec(any::<u8>(), 0..512)) {
        give(&data);
    }

    #[test]
    fn no_text_breaks_anything(text in ".*") {
        give(text.as_bytes());
    }

    #[test]
    fn nothing_that_is_well_formed_but_for_one_part_breaks_anything(data in changed()) {
        give(&data);
    }

    #[test]
    fn nothing_that_breaks_off_breaks_anything(data in changed(), at in any::<Index>()) {
        let at = at.index(data.len());
        give(&data[..at]);
    }

    #[test]
    fn no_time_breaks_anything(
        text in r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})"
    ) {
        give(text.as_bytes());
    }
}
