//! Which databases replaced which, in the log.

use super::Geo;
use portolan_geo::GeoTable;

impl Geo {
    /// Logs what location databases replaced which; nothing when they are the same.
    pub fn log_change(&self, before: &Self) {
        if self.has_same_databases(before) {
            return;
        }
        let (old, new) = (before.databases(), self.databases());
        let built = |table: &GeoTable| humantime::format_rfc3339_seconds(table.info().built_at()).to_string();
        tracing::info!(
            what = "geo",
            database = new.info().database,
            built = built(new),
            ipv4_networks = new.info().v4().given,
            ipv6_networks = new.info().v6().given,
            places = new.places().len() - 1,
            before_database = old.info().database,
            before_built = built(old),
            before_ipv4_networks = old.info().v4().given,
            before_ipv6_networks = old.info().v6().given,
            before_places = old.places().len() - 1,
            "the location databases are replaced"
        );
    }
}
