//! The program as a process: its signals, its logs, its command line, its plugins and its restarts.

mod administration;
mod afternoon;
mod command_line;
mod failback;
mod geo;
mod instances;
mod logs;
mod newcomer;
mod package;
mod plugin_files;
mod plugin_projects;
mod plugins;
mod registry;
mod replay;
mod service_manager;
mod serving;
mod simulate;
mod stopping;
mod upgrade;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portolan");
