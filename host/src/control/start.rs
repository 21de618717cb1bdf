//! The start: what cannot be used is taken as it was when it was last good, where that has been kept.

use super::last_good::{Content, LastGood};
use super::load::{self, Load, LoadError};
use super::publisher::{Loaded, Plugins};
use super::source::{Restored, Source, first};
use super::status::{Kind, Status};
use crate::config::{ConfigErrors, Settings};
use crate::geo::Geo;
use crate::plugin::{EngineError, PluginEngine};
use std::path::PathBuf;
use std::sync::Arc;

/// What the program starts with: a configuration that can be used, and where the rest comes from.
#[derive(Debug)]
pub struct Start {
    /// The configuration, as far as is known before the rest is loaded.
    pub settings: Settings,
    /// The file to watch for changes of it.
    pub path: Option<PathBuf>,
    /// Where what is in force is kept.
    pub last_good: Option<LastGood>,
    contents: Vec<Content>,
    restored: Option<Restored>,
}

impl Start {
    /// With these settings. What the files it names hold is all there is.
    pub fn new(settings: Settings, path: Option<PathBuf>) -> Self {
        Self {
            settings,
            path,
            last_good: None,
            contents: Vec::new(),
            restored: None,
        }
    }

    /// With a configuration file and what is kept of it and of the files it names. From then on, what is in force is kept.
    ///
    /// # Errors
    /// When the file has mistakes, and was never good.
    pub fn kept(path: PathBuf, last_good: LastGood) -> Result<Self, ConfigErrors> {
        let first = first(Kind::Config, Some(&last_good), |source| load::settings(&path, source))?;
        Ok(Self {
            settings: first.value,
            path: Some(path),
            last_good: Some(last_good),
            contents: first.contents,
            restored: first.restored,
        })
    }

    /// Loads the rest, and tells what came of it all. `engine` makes the one that plugins run in, for these settings.
    ///
    /// A database that cannot be used and never was does not keep the program from starting: the embedded table serves,
    /// and the error is said loudly. With a plugin like that, the last good configuration is taken.
    ///
    /// # Errors
    /// When a plugin cannot be used, and never was.
    pub fn load(
        self,
        status: &Status,
        engine: impl Fn(&Settings) -> Result<PluginEngine, EngineError>,
    ) -> Result<(Load, PluginEngine), LoadError> {
        let last_good = self.last_good.as_ref();
        let was_restored = self.restored.is_some();
        let rest = |settings, contents, restored: Option<Restored>| {
            let engine = engine(&settings)?;
            let rest = rest(
                settings,
                contents,
                restored.into_iter().collect(),
                last_good,
                &engine,
                status,
            )?;
            Ok((rest, engine))
        };
        let error: LoadError = match rest(self.settings, self.contents, self.restored) {
            Err(error) if !was_restored => error,
            loaded => return loaded,
        };
        let (Some(path), Some(last_good)) = (self.path, last_good) else {
            return Err(error);
        };
        let then = Source::kept(last_good);
        let Ok(settings) = load::settings(&path, &then) else {
            return Err(error);
        };
        let restored = then.restored(Kind::Config, &error);
        rest(settings, then.into_contents(), Some(restored)).map_err(|_| error)
    }
}

/// Loads what a configuration names, and tells what came of it all.
fn rest(
    settings: Settings,
    mut contents: Vec<Content>,
    mut restored: Vec<Restored>,
    last_good: Option<&LastGood>,
    engine: &PluginEngine,
    status: &Status,
) -> Result<Load, LoadError> {
    let mut plugins = Plugins::new();
    for name in settings.plugins.keys() {
        let version = first(Kind::Plugin, last_good, |source| {
            load::plugin(name, &settings, engine, source)
        })?;
        plugins.insert(name.clone(), version.unpack(&mut contents, &mut restored));
    }
    let geo = match first(Kind::Geo, last_good, |source| load::geo(&settings, source)) {
        Ok(geo) => geo.unpack(&mut contents, &mut restored),
        Err(error) => {
            tracing::error!("the embedded location table is used: {error}");
            status.refused(Kind::Geo, error.to_string());
            Geo::embedded()
        }
    };
    for Restored { kind, why, since } in restored {
        let good_since = humantime::format_rfc3339_seconds(since);
        tracing::error!(what = kind.as_str(), %good_since, "refused at the start, the last good one serves: {why}");
        status.restored(kind, why, since);
    }
    let loaded = Loaded {
        settings: Arc::new(settings),
        geo: Arc::new(geo),
        plugins: Arc::new(plugins),
    };
    Ok(Load { loaded, contents })
}
