//! The architecture holds: arrows never point back, and each crate is named in its own room only.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::path::{Path, PathBuf};

/// The rooms from the top down; a room may use those below it. Leaves are used by all and use only those below them.
const ROOMS: [&str; 13] = [
    "main", "cli", "serve", "ops", "backend", "mount", "cloud", "net", "redact", "error", "wire",
    "hash", "lock",
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap().to_owned();
            let first = inside.iter().next().unwrap().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (room, inside, text)
        })
        .collect()
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|r| *r == room)
}

#[test]
fn an_arrow_never_points_back() {
    let mut checked = 0;
    for (room, path, text) in sources() {
        let Some(from) = rank(&room) else { continue };
        for name in ROOMS {
            if text.contains(&format!("crate::{name}::"))
                || text.contains(&format!("crate::{name};"))
            {
                checked += 1;
                assert!(
                    rank(name).unwrap() >= from,
                    "{}: {room} uses {name}",
                    path.display()
                );
            }
        }
    }
    assert!(checked > 50, "only {checked} arrows were found");
}

#[test]
fn the_context_uses_no_room() {
    for (room, path, text) in sources() {
        if room == "context" {
            assert!(!text.contains("crate::"), "{}", path.display());
        }
    }
}

#[test]
fn each_crate_is_named_in_its_own_room_only() {
    for (_, path, text) in sources() {
        let name = path.to_str().unwrap();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        if name != "net/live.rs" {
            assert!(!code.contains("reqwest"), "{name} names reqwest");
        }
        if !name.starts_with("cloud/aws/") {
            for of_aws in [
                "aws_config",
                "aws_sigv4",
                "aws_types",
                "aws_credential_types",
                "aws_smithy",
            ] {
                assert!(!code.contains(of_aws), "{name} names {of_aws}");
            }
        }
        if name != "cloud/azure/auth.rs" {
            assert!(
                !code.contains("azure_identity"),
                "{name} names azure_identity"
            );
        }
        if name != "main.rs" {
            assert!(
                !code.contains("process::exit") && !code.contains("ExitCode"),
                "{name} exits"
            );
        }
        // A test may roll dice of its own, seeded.
        if name != "context.rs" && !name.ends_with("/tests.rs") {
            for direct in ["SystemTime::now", "std::env::var", "fastrand::"] {
                assert!(
                    !code.contains(direct),
                    "{name} takes {direct} past the context"
                );
            }
        }
    }
}

#[test]
fn a_backend_names_no_other_backend() {
    let backends = ["azure_ml", "fargate"];
    for (_, path, text) in sources() {
        let mut parts = path.iter().filter_map(|p| p.to_str());
        if parts.next() != Some("backend") {
            continue;
        }
        let own = parts.next().unwrap_or_default().to_owned();
        for other in backends
            .iter()
            .filter(|b| **b != own && backends.contains(&own.as_str()))
        {
            assert!(
                !text.contains(&format!("backend::{other}")),
                "{} names {other}",
                path.display()
            );
        }
    }
}
