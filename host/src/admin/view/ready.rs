//! Whether this instance should get traffic.

use crate::admin::instance::{GeoPicture, LoadPicture, Picture};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether this instance should get traffic.
    pub ready: bool,
    /// What is missing.
    pub missing: Vec<String>,
    /// The number of the routing table.
    pub generation: u64,
    /// What was loaded, and what was refused: then the last good one is in force.
    pub loads: Vec<Load>,
    /// The location table in force.
    pub geo: Geo,
    /// What is told to Front Door; null when nothing is.
    pub front_door: Option<FrontDoor>,
}

/// Whether Front Door is told what there is to tell. It has no say in whether this instance should get traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontDoor {
    /// Why the publisher does not run, though it should.
    pub error: Option<String>,
}

/// What became of one kind of thing that is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// `config`, `geo` or `plugin`.
    pub what: String,
    /// How often it was taken.
    pub taken: u64,
    /// How often it was refused.
    pub refused: u64,
    /// When it was last taken.
    pub last_taken: Option<String>,
    /// Why it was refused, as long as nothing was taken since.
    pub error: Option<String>,
    /// Since when what is in force has been good, when it was restored at the start because what there was had been refused.
    pub restored: Option<String>,
}

/// The location table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geo {
    /// What the database calls itself.
    pub database: String,
    /// When it was built.
    pub built: Option<String>,
    /// How many networks of it have a place.
    pub networks: u64,
    /// What its licence asks to be shown.
    pub attribution: Option<String>,
}

impl Ready {
    pub(in crate::admin) fn of(picture: &Picture, missing: &[&'static str]) -> Self {
        Self {
            ready: missing.is_empty(),
            missing: missing.iter().map(ToString::to_string).collect(),
            generation: picture.generation.0,
            loads: picture.loads.iter().map(Load::from).collect(),
            geo: Geo::from(&picture.geo),
            front_door: picture.front_door.as_ref().map(|notice| FrontDoor {
                error: notice.trouble().map(Into::into),
            }),
        }
    }
}

impl From<&LoadPicture> for Load {
    fn from(load: &LoadPicture) -> Self {
        Self {
            what: load.what.into(),
            taken: load.taken,
            refused: load.refused,
            last_taken: load.last_taken.map(timestamp),
            error: load.standing_error.clone(),
            restored: load.restored.map(timestamp),
        }
    }
}

impl From<&GeoPicture> for Geo {
    fn from(geo: &GeoPicture) -> Self {
        Self {
            database: geo.database.clone(),
            built: geo.built.map(timestamp),
            networks: geo.networks,
            attribution: geo.attribution.clone(),
        }
    }
}

fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
