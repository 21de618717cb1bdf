//! `portolan man`: pages made from the definition of the command line.

use super::output;
use anyhow::Context;
use clap_mangen::Man;
use std::fs;
use std::path::PathBuf;

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write a page for the program and for every command into this folder; default: print the program's page
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(command: clap::Command, arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.out {
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
            clap_mangen::generate_to(command, folder)
                .with_context(|| format!("failed to write pages to {}", folder.display()))
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            Ok(output::print(&String::from_utf8_lossy(&page))?)
        }
    }
}
