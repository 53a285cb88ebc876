//! `/_emulator/azure/storage`: everything that is kept, without keys and secrets' values.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::azure::Azure;

pub fn routes() -> Router<Arc<Azure>> {
    Router::new().route("/_emulator/azure/storage", get(view))
}

async fn view(State(azure): State<Arc<Azure>>) -> Json<Value> {
    let world = azure.world();
    let storage = &world.storage;
    let shares: Vec<_> = storage
        .accounts
        .values()
        .flat_map(|account| {
            account.shares.iter().map(|(name, share)| {
                json!({
                    "account": account.name,
                    "name": name,
                    "quota_gib": share.quota_gib,
                    "metadata": share.metadata,
                })
            })
        })
        .collect();
    let assignments: Vec<_> = storage
        .assignments
        .iter()
        .map(|known| json!({ "scope": known.scope, "role": known.role, "principal_id": known.principal_id }))
        .collect();
    Json(json!({
        "accounts": storage.accounts.keys().collect::<Vec<_>>(),
        "shares": shares,
        "identities": storage.identities.values().map(|known| &known["name"]).collect::<Vec<_>>(),
        "assignments": assignments,
        "secrets": storage.secrets.keys().map(|(vault, name)| format!("{vault}/{name}")).collect::<Vec<_>>(),
    }))
}
