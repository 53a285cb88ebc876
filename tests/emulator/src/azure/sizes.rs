//! The VM sizes of a region, and how much of each family is used.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::arm::Call;
use super::call::Reply;
use super::error::ArmError;

#[derive(Clone, Debug)]
pub struct Size {
    pub name: String,
    pub family: &'static str,
    pub cores: u32,
    gpus: u32,
    memory_gb: f64,
    /// Some sizes are for clusters alone.
    pub for_instances: bool,
}

/// Names, families and figures as in the official example of `VirtualMachineSizes_List` and in "Sizes for virtual machines".
const KNOWN: [(&str, &str, u32, u32, f64, bool); 12] = [
    ("Standard_DS1_v2", "standardDSv2Family", 1, 0, 3.5, true),
    ("Standard_DS2_v2", "standardDSv2Family", 2, 0, 7.0, true),
    ("Standard_DS3_v2", "standardDSv2Family", 4, 0, 14.0, true),
    ("Standard_DS11_v2", "standardDSv2Family", 2, 0, 14.0, true),
    ("Standard_DS12_v2", "standardDSv2Family", 4, 0, 28.0, true),
    ("Standard_D2s_v3", "standardDSv3Family", 2, 0, 8.0, true),
    ("Standard_E4s_v3", "standardESv3Family", 4, 0, 32.0, true),
    ("Standard_F4s_v2", "standardFSv2Family", 4, 0, 8.0, true),
    ("Standard_NC6", "standardNCFamily", 6, 1, 56.0, true),
    ("Standard_NC6s_v3", "standardNCSv3Family", 6, 1, 112.0, true),
    ("Standard_NV6", "standardNVFamily", 6, 1, 56.0, false),
    (
        "Standard_ND96asr_v4",
        "standardNDASv4Family",
        96,
        8,
        900.0,
        false,
    ),
];

/// Those that the command line names; an unknown one is small. All if it names none.
pub fn table(names: &[String]) -> Vec<Size> {
    let known =
        |(name, family, cores, gpus, memory_gb, for_instances): (&str, _, _, _, _, _)| Size {
            name: name.to_owned(),
            family,
            cores,
            gpus,
            memory_gb,
            for_instances,
        };
    if names.is_empty() {
        return KNOWN.into_iter().map(known).collect();
    }
    names
        .iter()
        .map(|wanted| {
            KNOWN
                .into_iter()
                .find(|row| row.0.eq_ignore_ascii_case(wanted))
                .map_or_else(
                    || known((wanted, "standardDSv2Family", 2, 0, 8.0, true)),
                    known,
                )
        })
        .collect()
}

/// Regions without a workspace are none, for this cloud.
fn check_region(call: Call<'_>, location: &str) -> Result<(), ArmError> {
    if call.azure.world().workspaces.are_in(location) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '{location}' and API version '{}'.",
            call.version
        ),
    ))
}

pub fn list(call: Call<'_>, location: &str) -> Result<Reply, ArmError> {
    check_region(call, location)?;
    let sizes: Vec<Value> = call.azure.sizes.iter().map(row).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "value": sizes })))
}

fn row(size: &Size) -> Value {
    let kinds: &[&str] = if size.for_instances {
        &["AmlCompute", "ComputeInstance"]
    } else {
        &["AmlCompute"]
    };
    json!({
        "name": size.name,
        "family": size.family,
        "vCPUs": size.cores,
        "gpus": size.gpus,
        "osVhdSizeMB": 1_047_552,
        "maxResourceVolumeMB": 14_336,
        "memoryGB": size.memory_gb,
        "lowPriorityCapable": true,
        "premiumIO": true,
        "estimatedVMPrices": {
            "billingCurrency": "USD",
            "unitOfMeasure": "OneHour",
            "values": [{ "retailPrice": f64::from(size.cores) * 0.05, "osType": "Linux", "vmTier": "Standard" }],
        },
        "supportedComputeTypes": kinds,
    })
}

/// Cores of each family in a region.
fn used(call: Call<'_>, location: &str) -> BTreeMap<String, u32> {
    let mut used: BTreeMap<String, u32> = call
        .azure
        .sizes
        .iter()
        .map(|size| (size.family.to_owned(), 0))
        .collect();
    for (_, instance) in call.azure.world().instances.living(call.now_ms) {
        if instance.region.eq_ignore_ascii_case(location) {
            *used.entry(instance.family.clone()).or_default() += instance.cores;
        }
    }
    used
}

pub fn usages(call: Call<'_>, location: &str) -> Result<Reply, ArmError> {
    check_region(call, location)?;
    let limit = call.azure.world().settings.family_cores;
    let row = |(family, cores): (String, u32)| {
        json!({
            "id": format!("/subscriptions/{}/providers/Microsoft.MachineLearningServices/locations/{location}/usages/{family}", call.azure.subscription),
            "type": "Microsoft.MachineLearningServices/vmFamily/usages",
            "currentValue": cores,
            "limit": limit,
            "name": { "value": family, "localizedValue": words(&family) },
            "unit": "Count",
        })
    };
    let rows: Vec<_> = used(call, location).into_iter().map(row).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "value": rows })))
}

pub fn quotas(call: Call<'_>, location: &str) -> Result<Reply, ArmError> {
    check_region(call, location)?;
    let limit = call.azure.world().settings.family_cores;
    let row = |family: &String| {
        json!({
            "id": format!("/subscriptions/{}/providers/Microsoft.MachineLearningServices/locations/{location}/quotas/{family}", call.azure.subscription),
            "type": "Microsoft.MachineLearningServices/vmFamily/quotas",
            "limit": limit,
            "name": { "value": family, "localizedValue": words(family) },
            "unit": "Count",
        })
    };
    let rows: Vec<_> = used(call, location).keys().map(row).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "value": rows })))
}

/// `standardDSv2Family` as an error and a list call it.
pub fn words(family: &str) -> String {
    let inner = family
        .trim_start_matches("standard")
        .trim_end_matches("Family");
    format!("Standard {inner} Family Cluster Dedicated vCPUs")
}
