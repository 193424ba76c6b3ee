//! No crate has modules that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex_lite::Regex;

use super::{files, libraries, read};

/// For each module, the modules of the same crate that it names.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn modules_import_each_other_in_one_direction() {
    let mut circles = Vec::new();
    for library in libraries() {
        let graph = graph(&sources(&library.join("src")));
        assert!(graph.values().any(|imports| !imports.is_empty()), "{} imports nothing", library.display());
        circles.extend(cycle(&graph).map(|circle| format!("{}: {}", library.display(), circle.join(" -> "))));
    }
    assert!(circles.is_empty(), "circles of modules:\n{}", circles.join("\n"));
}

#[test]
fn planted_circle_is_found() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let planted = |text: &str| {
        let files = [
            file("", "mod a;\nmod b;\npub use a::{Apple, Apricot};"),
            file("a", "use crate::b::{self, Pear};"),
            file("b::c", text),
            file("b", "pub(crate) use c::Pear;\n// use crate::a::Apple;\n"),
        ];
        cycle(&graph(&files.into()))
    };
    assert_eq!(planted("use crate::b::Plum;"), None);
    assert_eq!(planted("#[cfg(test)]\nmod tests {\n    use crate::a::Apple;\n}"), None);
    for text in
        ["use crate::a::Apple;", "use crate::{Apple, b};", "use crate::{\n    a::Apple,\n};", "crate::a::f()"]
    {
        assert!(planted(&format!("use crate::b::Plum;\n{text}")).is_none(), "{text}");
        let files = [file("", "pub use a::Apple;"), file("a", "use crate::b::Pear;"), file("b", text)];
        assert_eq!(cycle(&graph(&files.into())), Some(vec!["a".into(), "b".into(), "a".into()]), "{text}");
    }
}

/// The text of each module by its path, such as `offload::workers`; the root's path is empty. Modules of tests are left
/// out.
fn sources(folder: &Path) -> BTreeMap<String, String> {
    let tests = Regex::new(r"#\[cfg\([^\]]*\b(?:test|loom)\b[^\]]*\)\]\s*(?:pub\S* )?mod (\w+);").unwrap();
    let mut all = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    for file in files(folder, ".rs") {
        let path = file.strip_prefix(folder).unwrap().with_extension("");
        let mut names: Vec<_> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.pop_if(|last| *last == "mod" || *last == "lib" || *last == "main");
        let text = read(&file);
        for found in tests.captures_iter(&text) {
            left_out.insert([&names[..], &[found[1].to_owned()]].concat().join("::"));
        }
        all.insert(names.join("::"), text);
    }
    all.retain(|name, _| !left_out.contains(name));
    all
}

fn graph(sources: &BTreeMap<String, String>) -> Graph {
    let exports = exports(sources.get("").map_or("", |root| root), sources);
    let path = Regex::new(r"\bcrate::(\{[^;]*\}|[\w:]+)").unwrap();
    let mut graph = Graph::new();
    for (name, text) in sources.iter().filter(|(name, _)| !name.is_empty()) {
        let code = code(text);
        let named = path.captures_iter(&code).flat_map(|found| expand(&found[1])).filter_map(|path| {
            let module = module_of(&path, sources).or_else(|| exports.get(&path).cloned())?;
            (module != *name).then_some(module)
        });
        graph.insert(name.clone(), named.collect());
    }
    graph
}

/// The code without comments and without the module of tests at its end.
fn code(text: &str) -> String {
    let test = Regex::new(r"\n#\[cfg\([^\]]*\btest\b[^\]]*\)\]\s*mod \w+ \{").unwrap();
    let end = test.find(text).map_or(text.len(), |found| found.start());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths in `{a::X, b::{Y, Z}}`, or the one path.
fn expand(tree: &str) -> Vec<String> {
    let Some(list) = tree.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return vec![tree.to_owned()];
    };
    let mut depth = 0;
    let parts = list.split(|letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    parts
        .map(|part| part.trim().split("::{").next().unwrap().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// The longest module that a path begins with.
fn module_of(path: &str, sources: &BTreeMap<String, String>) -> Option<String> {
    let mut parts: Vec<_> = path.split("::").filter(|part| !part.is_empty()).collect();
    while !parts.is_empty() {
        let module = parts.join("::");
        if sources.contains_key(&module) {
            return Some(module);
        }
        parts.pop();
    }
    None
}

/// The module of each name that the root re-exports.
fn exports(root: &str, sources: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let exports = Regex::new(r"\buse (?:self::|crate::)?([\w:]+?)::(\{[^;]*\}|\w+);").unwrap();
    let mut all = BTreeMap::new();
    for found in exports.captures_iter(root) {
        if let Some(module) = module_of(&found[1], sources) {
            all.extend(expand(&found[2]).into_iter().map(|name| (name, module.clone())));
        }
    }
    all
}

/// A circle, if there is any: its modules in order, the first again at the end.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(graph: &Graph, name: &str, path: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        if let Some(at) = path.iter().position(|known| known == name) {
            path.drain(..at);
            path.push(name.to_owned());
            return true;
        }
        if done.contains(name) {
            return false;
        }
        path.push(name.to_owned());
        if graph.get(name).into_iter().flatten().any(|next| visit(graph, next, path, done)) {
            return true;
        }
        path.pop();
        done.insert(name.to_owned());
        false
    }
    let (mut path, mut done) = (Vec::new(), BTreeSet::new());
    graph.keys().any(|name| visit(graph, name, &mut path, &mut done)).then_some(path)
}
