//! How the modules of a crate use one another, read from the code.
//!
//! Reads every `use` (with braces, `self`, `super` and re-exports followed to where a name is defined) and every path in code.
//! Test code is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path below the crate's root, such as `["plugin", "load"]`; the root itself is empty.
pub(crate) type Module = Vec<String>;

/// The modules of one crate and what each uses.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// The words of each module's code, test code left out.
    modules: BTreeMap<Module, Vec<String>>,
    /// Names that a module brings in by `use`: where the name comes from.
    imports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Shape {
    /// Reads the crate whose `lib.rs` is in this folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut shape = Self::default();
        for path in sources(folder) {
            let Some(module) = module_of(folder, &path) else {
                continue;
            };
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            shape.modules.insert(module, without_tests(&words(&text)));
        }
        shape.find_imports();
        shape
    }

    fn find_imports(&mut self) {
        let mut all = Vec::new();
        for (module, words) in &self.modules {
            for (path, name) in imports(words) {
                all.push((module.clone(), path, name));
            }
        }
        for (module, path, name) in all {
            let Some(path) = self.absolute(&module, &path) else {
                continue;
            };
            self.imports.entry(module).or_default().insert(name, path);
        }
    }

    /// A path as written in a module, from the crate's root; `None` when it leads out of the crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let mut base = module.clone();
        let mut rest = path;
        match rest.first().map(String::as_str)? {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = base.clone();
                child.push(first.to_owned());
                if !self.modules.contains_key(&child) {
                    return None;
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The module in which what a path leads to is defined. Re-exports are followed.
    fn home(&self, path: &[String], depth: usize) -> Module {
        let known = (0..=path.len())
            .rev()
            .find(|count| self.modules.contains_key(&path[..*count]));
        let known = known.unwrap_or(0);
        let (module, rest) = (path[..known].to_vec(), &path[known..]);
        let Some(name) = rest.first() else { return module };
        if depth == 0 {
            return module;
        }
        if let Some(target) = self.imports.get(&module).and_then(|imports| imports.get(name)) {
            let mut target = target.clone();
            target.extend(rest[1..].iter().cloned());
            if target != path {
                return self.home(&target, depth - 1);
            }
        }
        module
    }

    /// What each module uses of the others of its crate.
    pub(crate) fn uses(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, words) in &self.modules {
            let mut used = BTreeSet::new();
            for (path, _) in imports(words) {
                if let Some(path) = self.absolute(module, &path) {
                    used.insert(self.home(&path, 8));
                }
            }
            for path in paths(words) {
                if let Some(path) = self.absolute(module, &path) {
                    used.insert(self.home(&path, 8));
                } else if let Some(import) = self.imports.get(module).and_then(|all| all.get(&path[0])) {
                    let mut whole = import.clone();
                    whole.extend(path[1..].iter().cloned());
                    used.insert(self.home(&whole, 8));
                }
            }
            used.remove(module);
            uses.insert(module.clone(), used);
        }
        uses
    }
}

/// All Rust files below a folder.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The module that a file holds; `None` for tests and for what is no module of the library.
fn module_of(folder: &Path, path: &Path) -> Option<Module> {
    let inner = path.strip_prefix(folder).expect("below the folder").with_extension("");
    let mut module: Module = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.iter().any(|part| matches!(part.as_str(), "tests" | "main")) {
        return None;
    }
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    Some(module)
}

/// Identifiers and punctuation; `::` is one word. Comments and texts are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            quoted(rest)
        } else if let Some(length) = character(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of a raw text such as `r#"…"#`, `b"…"` or `br"…"` at the beginning.
fn raw_text(text: &str) -> Option<usize> {
    let after_b = text.strip_prefix('b').unwrap_or(text);
    if let Some(raw) = after_b.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(text.len() - body.len() + end);
    }
    let is_bytes = after_b.len() < text.len() && after_b.starts_with('"');
    is_bytes.then(|| 1 + quoted(after_b))
}

/// The length of a text in quotes at the beginning.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character such as `'a'` or `'\n'` at the beginning; `None` for lifetimes.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let (end, _) = if body.starts_with('\\') {
        body.char_indices().skip(2).find(|(_, c)| *c == '\'')?
    } else {
        let second = body.char_indices().nth(1)?;
        (second.1 == '\'').then_some(second)?
    };
    Some(1 + end + 1)
}

/// Leaves out every item behind `#[cfg(test)]`.
fn without_tests(words: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        if words[at..].iter().take(MARK.len()).eq(MARK.iter()) {
            at = end_of_item(words, at + MARK.len());
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the item that begins here ends: behind its semicolon or its last brace.
fn end_of_item(words: &[String], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(begin) {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && word == "}" {
                    return at + 1;
                }
            }
            ";" | "," if depth == 0 => return at + 1,
            _ => {}
        }
    }
    words.len()
}

/// The paths of all `use` declarations, and the name that each brings in.
fn imports(words: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        // `use<'a>` bounds a type.
        if words[at] == "use" && words.get(at + 1).is_none_or(|next| next != "<") {
            at = tree(words, at + 1, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// One tree of a `use` declaration. Gives where it ends.
fn tree(words: &[String], mut at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at = tree(words, at, &path, found);
                    if words.get(at).is_some_and(|word| word == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                found.push((path, "*".to_owned()));
                return at + 1;
            }
            "," | ";" | "}" => {
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
                return at;
            }
            "as" => {
                found.push((path, words.get(at + 1).cloned().unwrap_or_default()));
                return at + 2;
            }
            "self" if path.len() > prefix.len() || !prefix.is_empty() => at += 1,
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
    at
}

/// Every path of at least two parts in code.
fn paths(words: &[String]) -> Vec<Vec<String>> {
    let is_name = |word: &String| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut found = Vec::new();
    let mut at = 0;
    while at + 2 < words.len() {
        let begins = is_name(&words[at]) && words[at + 1] == "::" && (at == 0 || words[at - 1] != "::");
        if !begins {
            at += 1;
            continue;
        }
        let mut path = vec![words[at].clone()];
        at += 1;
        while words.get(at).is_some_and(|word| word == "::") && words.get(at + 1).is_some_and(is_name) {
            path.push(words[at + 1].clone());
            at += 2;
        }
        found.push(path);
    }
    found
}

/// Circles among the children of one module: each leads, itself or by what is below it, to all the others and back.
pub(crate) fn circles_of_siblings(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<(Module, Vec<String>)> {
    let mut graphs: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, used) in uses {
        for other in used {
            let common = module.iter().zip(other).take_while(|(one, two)| one == two).count();
            // A module and what is below it are no siblings: a child may use what its parent defines.
            if let (Some(from), Some(to)) = (module.get(common), other.get(common)) {
                let graph = graphs.entry(module[..common].to_vec()).or_default();
                graph.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let found = graphs.into_iter().flat_map(|(parent, graph)| {
        let circles = circles(&graph);
        circles.into_iter().map(move |circle| (parent.clone(), circle))
    });
    found.collect()
}

/// The circles of a graph: every set of nodes that all lead to one another.
fn circles<N: Ord + Clone>(graph: &BTreeMap<N, BTreeSet<N>>) -> Vec<Vec<N>> {
    let reachable = |from: &N| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&N> = graph.get(from).into_iter().flatten().collect();
        while let Some(node) = next.pop() {
            if seen.insert(node.clone()) {
                next.extend(graph.get(node).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&N, BTreeSet<N>> = graph.keys().map(|node| (node, reachable(node))).collect();
    let mut found = BTreeSet::new();
    for (node, reached) in &reach {
        if reached.contains(node) {
            let circle = reached
                .iter()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(node)));
            found.insert(circle.cloned().collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}
