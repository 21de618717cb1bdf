//! Plugins from registries: what a look at a tag has found.

use super::Reloader;
use crate::config::PluginSource;
use crate::control::artifacts::Polled;
use crate::control::events::EventKind;
use crate::control::last_good::digest;
use crate::control::overrides::Ordered;
use crate::control::status::Subject;
use std::collections::BTreeSet;

impl Reloader {
    /// Loads what a tag names now. What cannot be used leaves what was active, and is not fetched again.
    pub(super) async fn polled(&mut self, polled: Polled) {
        let Polled { name, source, outcome } = polled;
        let configured = self.loaded.settings.plugins.get(&name).map(|plugin| &plugin.source);
        if configured != Some(&PluginSource::Registry(source.clone())) {
            // The configuration has changed meanwhile.
            return;
        }
        let subject = Subject::Plugin(name.clone());
        let pulled = match outcome {
            Ok(pulled) => pulled,
            Err(error) => {
                self.reject(&subject, &error);
                return;
            }
        };
        let verified = pulled.verified.clone();
        tracing::info!(
            plugin = name.as_str(),
            reference = %source.reference,
            manifest = %verified.manifest,
            signed_with = verified.signer.as_deref().unwrap_or("-"),
            "the tag has moved"
        );
        let component = digest(&pulled.component);
        let fetched = EventKind::PluginFetched.of(&name).digest(component.as_str());
        let signer = verified.signer.as_deref();
        self.events.add(fetched.reason(match signer {
            Some(signer) => format!("{}: its signature by {signer} is verified", verified.manifest),
            None => format!("{}: its digest is verified", verified.manifest),
        }));
        let before = self.artifacts.hold(&source.reference, pulled);
        if self
            .components
            .get(&name)
            .is_some_and(|active| active.configured == component)
        {
            // Another manifest with the same component: nothing is swapped for it, but the next start begins with it.
            self.status.clear(&subject);
            self.writer.keep(self.artifacts.contents(&source.reference));
            return;
        }
        let standing = self.standing();
        match self.load_plugin(name.clone(), standing).await {
            Ok(part) => self.accept_plugin(name, part, Ordered::by_itself().because("its tag moved")),
            Err(error) => {
                self.artifacts.restore(&source.reference, before);
                self.reject(&subject, &error);
                self.events.add(EventKind::PluginRejected.of(&name).reason(&error));
            }
        }
    }

    /// Lets go of components that neither the active configuration names nor one that waits.
    pub(super) fn forget_artifacts(&self) {
        let pending = self.pending.as_ref().and_then(|pending| pending.settings.as_ref());
        let settings = [Some(&self.loaded.settings), pending];
        let plugins = settings
            .into_iter()
            .flatten()
            .flat_map(|settings| settings.plugins.values());
        let references = plugins.filter_map(|plugin| match &plugin.source {
            PluginSource::Registry(source) => Some(source.reference.clone()),
            PluginSource::Embedded(_) | PluginSource::File(_) => None,
        });
        self.artifacts.retain(&references.collect::<BTreeSet<_>>());
    }
}
