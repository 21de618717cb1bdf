//! Routing plugins.

use super::compound::{At, Named, OrOff};
use super::error::Mistakes;
use super::quantities::{H, KIB, MIB, MIN, MS, S, Size, Time};
use super::registries::{Registries, SignatureSection};
use super::rollout::RolloutSection;
use super::section::section;
use super::settings::{Plugin, PluginSource};
use super::shape::all;
use super::suggest::did_you_mean;
use super::values::{FilePath, words};
use crate::plugin::{Isolation, PluginLimits, PluginSettings, PluginSize, embedded};
use portolan_core::id::PluginName;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

section! {
    /// A routing plugin: a WebAssembly component of portolan:routing.
    PluginSection {
        /// Its file, such as ./canary.wasm; or embedded:NAME for one that is part of Portolan; or one in a registry, such as
        /// oci://registry.example.net/team/canary@sha256:…, or with :TAG instead of the digest. Files are watched, tags are polled.
        required source: At<String>,
        /// How often a tag in a registry is looked at; off: at a start only. Default: 1m.
        optional poll: At<OrOff<Time<{ S }, { 24 * H }>>>,
        /// Who must have signed a plugin from a registry. Default: as require_signature says.
        optional signature: At<SignatureSection>,
        /// What the plugin is configured with: anything it understands.
        optional config: Value,
        /// CPU time a call may take before the built-in policy answers instead. Default: 1ms.
        optional deadline: Time<{ MS }, { S }>,
        /// Which limits its file, its compilation and its starts have: small for Rust, C, Zig and AssemblyScript, large
        /// for languages with a runtime, such as Go, JavaScript and Python. Default: small.
        optional size: SizeWord,
        /// Limits in place of those of its size.
        optional limits: LimitsSection,
        /// How much memory an instance may have. Default: 16MiB, and 64MiB with size: large.
        optional memory: Size<{ 64 * KIB }, { 64 * MIB }>,
        /// Whether instances serve more than one request: reuse, or fresh, which costs some microseconds more, for
        /// plugins that are trusted less. Default: reuse.
        optional isolation: IsolationWord,
        /// How a new version is rolled out while the one before is active. Default: it is active at once.
        optional rollout: RolloutSection,
    }
}

section! {
    /// Limits of one plugin, in place of those of its size.
    LimitsSection {
        /// The size of its file. Default: 4MiB, and 64MiB with size: large.
        optional file: Size<{ KIB }, { 64 * MIB }>,
        /// CPU time to compile it, once for every version. Default: 1.9s, and 2m with size: large.
        optional compile_time: Time<{ 100 * MS }, { 10 * MIN }>,
        /// Memory to compile it. Default: 256MiB, and 4GiB with size: large.
        optional compile_memory: Size<{ 64 * MIB }, { 16 * 1024 * MIB }>,
        /// CPU time to start an instance and configure it. Default: 10ms, and 250ms with size: large.
        optional start_time: Time<{ MS }, { 5 * S }>,
    }
}

words! {
    /// Which limits a plugin has.
    SizeWord {
        /// What a compiler makes.
        Small = "small",
        /// With a runtime or an interpreter in it.
        Large = "large",
    }
}

words! {
    /// Whether instances serve more than one request.
    IsolationWord {
        /// Thousands of them.
        Reuse = "reuse",
        /// One.
        Fresh = "fresh",
    }
}

/// The plugins by name.
pub(super) fn settings(
    sections: Option<&Named<PluginSection>>,
    registries: &Registries<'_>,
    folder: &Path,
    mistakes: &mut Mistakes<'_>,
) -> Option<BTreeMap<PluginName, Plugin>> {
    let sections = sections.iter().flat_map(|sections| &sections.0);
    let plugins = all(sections.map(|(name, section)| {
        let settings = section.as_ref()?.settings(registries, folder, mistakes)?;
        Some((PluginName::new(name.as_str()), settings))
    }));
    Some(plugins?.into_iter().collect())
}

impl PluginSection {
    fn settings(&self, registries: &Registries<'_>, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Plugin> {
        let default = PluginSettings::default();
        let size = match self.size {
            Some(SizeWord::Large) => PluginSize::Large,
            Some(SizeWord::Small) | None => PluginSize::Small,
        };
        let limits = self.limits.as_ref();
        let deployment = PluginSettings {
            config: self.config.as_ref().map_or(default.config, Value::to_string),
            deadline: self.deadline.map_or(default.deadline, |deadline| deadline.0),
            memory: self.memory.map_or(size.memory(), |memory| memory.0 as usize),
            isolation: match self.isolation {
                Some(IsolationWord::Reuse) => Isolation::Reuse,
                Some(IsolationWord::Fresh) => Isolation::Fresh,
                None => default.isolation,
            },
            size,
            limits: PluginLimits {
                file: limits.and_then(|limits| Some(limits.file?.0)),
                compile_time: limits.and_then(|limits| Some(limits.compile_time?.0)),
                compile_memory: limits.and_then(|limits| Some(limits.compile_memory?.0)),
                start_time: limits.and_then(|limits| Some(limits.start_time?.0)),
            },
        };
        Some(Plugin {
            source: self.source(registries, folder, mistakes)?,
            deployment,
            rollout: match &self.rollout {
                None => None,
                Some(rollout) => Some(rollout.plan(mistakes)?),
            },
        })
    }

    fn source(&self, registries: &Registries<'_>, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<PluginSource> {
        let text = self.source.as_ref()?;
        if text.starts_with("oci://") {
            let signature = self.signature.as_ref().map(|it| &it.value);
            let found = registries.source(text, self.poll.as_ref(), signature, folder, mistakes);
            return found.map(|found| PluginSource::Registry(Box::new(found)));
        }
        let poll = self.poll.as_ref().map(|poll| poll.id);
        let signature = self.signature.as_ref().map(|it| it.id);
        for id in poll.into_iter().chain(signature) {
            mistakes.at_key(id, "is for plugins in a registry (source: oci://…)");
        }
        source(text, folder, mistakes)
    }
}

/// Whether a plugin of this name is part of the program.
pub(super) fn is_embedded(name: &str) -> bool {
    embedded::find(name).is_some()
}

fn source(text: &At<String>, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<PluginSource> {
    if let Some(name) = text.strip_prefix("embedded:") {
        if is_embedded(name) {
            return Some(PluginSource::Embedded(name.into()));
        }
        let known = embedded::ALL.map(|(name, _)| name);
        let (meant, known) = (did_you_mean(name, known), known.join(", "));
        mistakes.at(
            text.id,
            format!("no plugin of that name is part of this program, which has {known}{meant}"),
        );
        return None;
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let message =
            format!("{scheme}:// is not supported: use oci:// and a registry, or fetch the file and give its path");
        mistakes.at(text.id, message);
        return None;
    }
    Some(PluginSource::File(FilePath::from(text.value.clone()).within(folder)))
}
