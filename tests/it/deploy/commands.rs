//! Commands in the documentation are those of the program.

use super::documentation::{blocks, pages};
use super::{accepts, read, repository};
use std::collections::BTreeSet;

/// The command lines of `portolan` in a line of a shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let code = line.split(" #").next().expect("a first part");
    let mut found = Vec::new();
    for command in code.split(['|', ';', '&', '>', '(', ')']) {
        let words: Vec<_> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .collect();
        let starts = (0..words.len()).find(|&at| {
            let is_program =
                words[at] == "portolan" || words[at].starts_with(['/', '.']) && words[at].ends_with("/portolan");
            // Elsewhere it is an argument: the name of a namespace or a release.
            is_program && (at == 0 || matches!(words[at - 1], "--" | "sudo" | "$" | "time" | "in-pod"))
        });
        if let Some(at) = starts.filter(|at| at + 1 < words.len()) {
            found.push(words[at + 1..].iter().map(|word| (*word).to_owned()).collect());
        }
    }
    found
}

#[test]
fn commands_in_the_documentation_are_accepted() {
    let mut subcommands = BTreeSet::new();
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        let blocks = blocks(&text, "sh");
        let in_blocks = blocks.iter().flat_map(|block| block.lines());
        let joined: String = in_blocks
            .map(|line| line.strip_suffix('\\').map_or(format!("{line}\n"), str::to_owned))
            .collect();
        let inline = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let inline = inline.filter(|code| !code.contains(['[', '…']));
        let lines = joined.lines().map(|line| (line, false));
        for (line, is_name) in lines.chain(inline.map(|code| (code, true))) {
            for words in commands(line) {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                // An instance's address and the client's stand for any.
                let words: Vec<_> = words
                    .iter()
                    .map(|word| if word.starts_with("ADDR") { "192.0.2.1" } else { word })
                    .collect();
                // In a sentence it may be the name of a command, without what it needs.
                let named = is_name && accepts(&[&words[..], &["--help"]].concat()).is_ok();
                if let Err(error) = accepts(&words).or_else(|error| named.then_some(()).ok_or(error)) {
                    panic!("{}: portolan {}: {error}", page.display(), words.join(" "));
                }
                subcommands.insert(words[0].to_owned());
                count += 1;
            }
        }
    }
    assert!(count > 20 && subcommands.len() > 5, "{count} {subcommands:?}");
}

#[test]
fn a_wrong_command_is_found() {
    assert_eq!(
        commands("kubectl -n portolan exec deployment/portolan -- portolan regions --admin X # why"),
        [["regions", "--admin", "X"]]
    );
    assert_eq!(
        commands("helm install portolan deploy/helm/portolan --namespace edge"),
        [] as [[&str; 0]; 0]
    );
    assert!(accepts(&["drian", "westeurope"]).is_err() && accepts(&["drain", "westeurope"]).is_ok());
    assert!(repository("deploy/README.md").exists());
}
