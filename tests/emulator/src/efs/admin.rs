//! EFS under `/_emulator/efs`: what is there, and the settings by which a test breaks it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::state::Settings;
use crate::admin::{parse, refuse};
use crate::policy::Policy;
use crate::world::{Emulator, merge};

type Emu = State<Arc<Emulator>>;

pub fn routes() -> Router<Arc<Emulator>> {
    Router::new()
        .route("/_emulator/efs", get(view))
        .route(
            "/_emulator/efs/policy",
            put(set_policy).delete(remove_policy),
        )
        .route(
            "/_emulator/efs/settings",
            get(settings).post(change_settings),
        )
}

async fn view(State(emulator): Emu) -> Json<Value> {
    let now_ms = emulator.clock.now_ms();
    let world = emulator.world();
    let efs = &world.efs;
    let file_systems: Vec<_> = efs
        .file_systems
        .iter()
        .map(|known| json!({ "id": known.id, "tags": known.tags, "directory": efs.directory(&known.id, "/") }))
        .collect();
    let access_points: Vec<_> = efs
        .access_points
        .iter()
        .map(|known| {
            json!({
                "id": known.id,
                "file_system": known.file_system,
                "client_token": known.client_token,
                "tags": known.tags,
                "posix_user": known.posix_user,
                "root_directory": known.root_directory,
                "available": known.available_ms <= now_ms,
                "directory": efs.directory(&known.file_system, known.path()),
            })
        })
        .collect();
    Json(json!({ "file_systems": file_systems, "access_points": access_points }))
}

/// The body is the policy of all file systems.
async fn set_policy(State(emulator): Emu, body: String) -> Response {
    match parse::<Policy>(&body) {
        Ok(policy) => {
            emulator.world().efs.policy = Some((policy, body));
            Json(json!({})).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn remove_policy(State(emulator): Emu) -> Json<Value> {
    emulator.world().efs.policy = None;
    Json(json!({}))
}

async fn settings(State(emulator): Emu) -> Response {
    Json(&emulator.world().efs.settings).into_response()
}

async fn change_settings(State(emulator): Emu, body: String) -> Response {
    let change = match parse::<Value>(&body) {
        Ok(change) => change,
        Err(refusal) => return refusal.into_response(),
    };
    let mut world = emulator.world();
    let changed = serde_json::to_value(&world.efs.settings).and_then(|mut all| {
        merge(&mut all, &change);
        serde_json::from_value::<Settings>(all)
    });
    match changed {
        Ok(settings) => {
            world.efs.settings = settings.clone();
            Json(settings).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
