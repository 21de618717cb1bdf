//! Loads again what changes apart from the configuration: location databases, service tags, certificates.

use super::{Reloader, off_thread};
use crate::config::Mistake;
use crate::control::load::{self, LoadError, LoadErrors};
use crate::control::loaded::UpstreamOrigins;
use crate::control::publisher::Update;
use crate::control::status::Subject;
use portolan_core::id::ServiceName;
use std::sync::Arc;

impl Reloader {
    pub(super) async fn reload_geo(&mut self) {
        let (settings, before) = (Arc::clone(&self.loaded.settings), Arc::clone(&self.loaded.geo));
        let cache = self.location_cache.clone();
        match off_thread(move || load::only_geo(&settings, &before, cache)).await {
            Ok(part) => {
                let mut loaded = self.loaded.clone();
                loaded.geo = Arc::new(part.loaded);
                if let Some(shift) = self.too_much_shift(&loaded, false).await {
                    self.reject(&Subject::Geo, &shift);
                    return;
                }
                let before = std::mem::replace(&mut self.loaded.geo, loaded.geo);
                let mut warnings = load::geo_warnings(&self.loaded.geo, &self.loaded.settings);
                self.log_warnings(&mut warnings);
                self.loaded.geo.log_change(&before);
                self.publish(&Subject::Geo, Update::Geo(Arc::clone(&self.loaded.geo)));
                self.writer.keep(part.contents);
            }
            Err(error) => {
                self.reject(&Subject::Geo, &error);
            }
        }
    }

    pub(super) async fn reload_service_tags(&mut self) {
        let settings = Arc::clone(&self.loaded.settings);
        match off_thread(move || load::only_service_tags(&settings)).await {
            Ok(part) => {
                self.loaded.service_tags = Arc::new(part.loaded);
                let update = Update::ServiceTags(Arc::clone(&self.loaded.service_tags));
                self.publish(&Subject::ServiceTags, update);
                self.writer.keep(part.contents);
            }
            Err(error) => {
                self.reject(&Subject::ServiceTags, &error);
            }
        }
    }

    /// Each certificate that can be used replaces the one before, and each that cannot leaves it.
    pub(super) async fn reload_tls(&mut self) {
        let (settings, before) = (Arc::clone(&self.loaded.settings), self.loaded.tls.clone());
        let mut loaded = off_thread(move || load::only_tls(&settings, &before)).await;
        self.log_warnings(&mut loaded.warnings);
        self.loaded.tls = loaded.files;
        self.renew_admin_tls();
        let update = Update::Tls(Arc::clone(self.loaded.tls.listeners()));
        if loaded.errors.is_empty() {
            return self.publish(&Subject::Tls, update);
        }
        // What can be used of it is.
        let _ = self.updates.send(update);
        let errors = loaded.errors.into_iter().map(LoadError::from).collect();
        self.reject(&Subject::Tls, &LoadErrors(errors));
    }

    /// Loads the certificates for TLS with the gateways of a service, of which a file has changed.
    pub(super) async fn reload_upstream_tls(&mut self, name: ServiceName) {
        let (service, settings) = (name.clone(), Arc::clone(&self.loaded.settings));
        match off_thread(move || load::only_upstream_tls(&service, &settings)).await {
            Ok(part) => {
                let mut origins = UpstreamOrigins::clone(&self.loaded.origins);
                origins.insert(name.clone(), part.loaded);
                self.loaded.origins = Arc::new(origins);
                let update = Update::UpstreamTls(Arc::clone(&self.loaded.origins));
                self.publish(&Subject::UpstreamTls(name), update);
                self.writer.keep(part.contents);
            }
            Err(error) => {
                self.reject(&Subject::UpstreamTls(name), &error);
            }
        }
    }

    /// Logs warnings about files that the active configuration names.
    fn log_warnings(&self, warnings: &mut [Mistake]) {
        self.loaded.settings.sources.locate(warnings);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    }

    /// Gives the administration what was loaded for it last.
    pub(super) fn renew_admin_tls(&self) {
        if let (Some(sender), Some(context)) = (&self.admin_tls, self.loaded.tls.admin()) {
            sender.send_replace(Arc::clone(context));
        }
    }
}
