//! By what samples are compared, as it is kept with each, so that a start need not read all reports.

use komainu_analysis::similarity::Features;
use serde::{Deserialize, Serialize};

/// [`Features`] as they are written down.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tlsh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    telfhash: Option<String>,
    functions: Vec<u64>,
    behaviours: Vec<String>,
    endpoints: Vec<String>,
}

/// Features as JSON.
pub(crate) fn write(features: &Features) -> String {
    let Features { sha256, family, tlsh, telfhash, functions, behaviours, endpoints } = features.clone();
    let (behaviours, endpoints) = (behaviours.into_iter().collect(), endpoints.into_iter().collect());
    let written = Written { sha256, family, tlsh, telfhash, functions, behaviours, endpoints };
    serde_json::to_string(&written).expect("lists, texts and numbers are JSON")
}

/// Features out of JSON; none if they are not what [`write`] writes.
pub(crate) fn read(json: &str) -> Option<Features> {
    let Written { sha256, family, tlsh, telfhash, functions, behaviours, endpoints } =
        serde_json::from_str(json).ok()?;
    let (behaviours, endpoints) = (behaviours.into_iter().collect(), endpoints.into_iter().collect());
    Some(Features { sha256, family, tlsh, telfhash, functions, behaviours, endpoints })
}
