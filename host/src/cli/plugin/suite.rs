//! The cases of a plugin, ready to be asked: region tables and requests.

use super::file;
use crate::config::{self, CaseRegion, PluginCase, PluginCases};
use crate::plugin::{PluginEngine, PluginError, PluginVersion, RegionEntry, RegionTable, RouteRequest, VisibleFields};
use anyhow::Context;
use http::Version;
use portolan_core::config::{Gateway, GatewayAddress};
use portolan_core::health::{GatewayHealth, State, Why};
use portolan_core::id::{Generation, PluginName, RegionName, ServiceName, Slot};
use portolan_core::rank::Ranking;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What the file with the cases is called.
pub(super) const CASES: &str = "cases.yaml";

/// A plugin and its cases.
pub(super) struct Suite {
    /// The plugin's file.
    pub(super) file: PathBuf,
    /// Its content.
    pub(super) bytes: Vec<u8>,
    /// The name it is loaded under.
    pub(super) name: PluginName,
    /// The file with the cases.
    pub(super) cases_file: PathBuf,
    pub(super) cases: PluginCases,
    /// The service's regions in each state that a case needs: cases with the same health share one, as requests do.
    tables: Vec<RegionTable>,
    /// For each case, the position of its table, and the order without the plugin.
    asked: Vec<(usize, Ranking)>,
}

impl Suite {
    /// Reads a plugin and its cases.
    ///
    /// # Errors
    /// When one cannot be read, or the cases have mistakes.
    pub(super) fn read(file: &Path, cases_file: &Path) -> anyhow::Result<Self> {
        let bytes = file::read(file)?;
        let content = file::read(cases_file).context("failed to read the cases (--cases names their file)")?;
        let cases = config::plugin_cases(&content, cases_file)?;
        let name = file.file_stem().map_or("plugin".into(), |stem| stem.to_string_lossy());
        let (tables, asked) = tables(&cases);
        Ok(Self {
            file: file.to_owned(),
            bytes,
            name: PluginName::new(name.as_ref()),
            cases_file: cases_file.to_owned(),
            cases,
            tables,
            asked,
        })
    }

    /// Loads the plugin with one configuration, as the proxy does.
    ///
    /// # Errors
    /// Why it is rejected.
    pub(super) fn load(&self, engine: &PluginEngine, config: &str) -> Result<Arc<PluginVersion>, PluginError> {
        let mut settings = self.cases.deployment.clone();
        config.clone_into(&mut settings.config);
        engine.load(&self.name, &self.bytes, &settings, &self.tables)
    }

    /// Does something with the regions and the request of a case.
    pub(super) fn with<T>(&self, case: usize, ask: impl FnOnce(&RegionTable, &RouteRequest<'_>) -> T) -> T {
        let (table, native) = &self.asked[case];
        let case = &self.cases.cases[case];
        let estimate = |slot: Slot| {
            let estimate = case.estimates.get(usize::from(slot.0));
            estimate.copied().unwrap_or_default()
        };
        let request = RouteRequest {
            method: &case.method,
            version: Version::HTTP_11,
            host: &case.host,
            path: &case.path,
            query: &case.query,
            fields: VisibleFields::all(&case.headers),
            arrival: None,
            client: case.ip,
            country: case.country,
            point: case.point,
            asn: case.asn,
            roll: case.roll,
            native,
            estimate: &estimate,
            statuses: &self.cases.statuses,
            now: Instant::now(),
            time: Some(case.time),
        };
        ask(&self.tables[*table], &request)
    }

    /// The name of the region in a slot.
    pub(super) fn region(&self, slot: Slot) -> &str {
        let region = self.cases.regions.get(usize::from(slot.0));
        region.map_or("?", |region| region.name.as_str())
    }
}

fn tables(cases: &PluginCases) -> (Vec<RegionTable>, Vec<(usize, Ranking)>) {
    let mut healths: Vec<&[State]> = Vec::new();
    let mut tables = Vec::new();
    let asked = cases.cases.iter().map(|case| {
        let known = healths.iter().position(|health| *health == case.health);
        let table = known.unwrap_or_else(|| {
            healths.push(&case.health);
            tables.push(table(cases, case, tables.len() as u64));
            tables.len() - 1
        });
        let native = case.eligible.iter().map(|place| Slot(*place as u8));
        (table, native.collect())
    });
    let asked = asked.collect();
    (tables, asked)
}

fn table(cases: &PluginCases, case: &PluginCase, generation: u64) -> RegionTable {
    let entries = cases.regions.iter().zip(&case.health);
    let entries = entries.map(|(region, health)| entry(region, *health)).collect();
    RegionTable::new(
        Generation(generation),
        ServiceName::new(cases.service.as_str()),
        entries,
    )
}

fn entry(region: &CaseRegion, state: State) -> RegionEntry {
    let gateway = Gateway {
        priority: region.priority,
        weight: region.weight,
        max_requests: region.max_requests,
        labels: region.labels.clone(),
        ..Gateway::new(
            RegionName::new(region.name.as_str()),
            region.point,
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
        )
    };
    let health = GatewayHealth {
        state,
        share: region.share,
        round_trip: region.round_trip,
        why: Why::default(),
    };
    RegionEntry::new(&gateway, region.country, health)
}
