//! The example plugins, ready to run: built from `plugins/examples` by `plugins/build.sh`.

/// Puts the nearest region first.
pub const NEAREST: &[u8] = include_bytes!("../../../plugins/prebuilt/nearest.wasm");
/// Puts one region first for a share of the clients.
pub const CANARY: &[u8] = include_bytes!("../../../plugins/prebuilt/canary.wasm");

/// All of them with their names.
pub const ALL: [(&str, &[u8]); 2] = [("canary", CANARY), ("nearest", NEAREST)];

/// The component of that name.
pub fn find(name: &str) -> Option<&'static [u8]> {
    ALL.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, component)| *component)
}

/// The contract that plugins are built for.
pub const WIT: &str = include_str!("../../../plugins/wit/v0.2/routing.wit");
