//! No two tables of one view share a prefix: their rows would stand in each other's place.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

/// Gives the prefixes that a source file gives to tables, each with its line.
fn prefixes(file: &Path) -> Vec<(char, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Layout::new(b'")?;
        Some((rest.chars().next()?, format!("{}: {}", file.display(), line.trim())))
    });
    lines.collect()
}

/// Gives the tables of each view by the name of its file: those that stand there or in the files below it.
fn views() -> BTreeMap<String, Vec<(char, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut views = BTreeMap::<String, Vec<(char, String)>>::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let view = path.strip_prefix(&src).unwrap().components().next().unwrap();
            let view = Path::new(&view).with_extension("").display().to_string();
            views.entry(view).or_default().extend(prefixes(&path));
        }
    }
    // Carts fold listings into rows of their own tree, which is why those take their version from whom they are for.
    let rows: Vec<_> =
        views["listing"].iter().filter(|(_, line)| line.contains(", version)")).cloned().collect();
    assert!(!rows.is_empty(), "the rows of listings are found");
    views.get_mut("cart").unwrap().extend(rows);
    views.retain(|_, tables| !tables.is_empty());
    views
}

#[test]
fn no_two_tables_of_one_view_share_a_prefix() {
    let views = views();
    let names: Vec<_> = views.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "account",
            "analytics",
            "audit",
            "cart",
            "ledger",
            "listing",
            "order",
            "payment",
            "recommendation",
            "risk",
            "terms",
            "webhook"
        ]
    );
    for (view, tables) in &views {
        let mut known = BTreeMap::new();
        for (prefix, line) in tables {
            assert_ne!(*prefix, '\0', "{view}: that is where the checkpoint stands: {line}");
            let other = known.insert(*prefix, line);
            assert!(other.is_none(), "{view}: two tables begin with {prefix:?}: {line} and {other:?}");
        }
    }
    assert!(views["order"].len() > 5 && views["cart"].len() > 5, "the tables are found: {views:?}");
}
