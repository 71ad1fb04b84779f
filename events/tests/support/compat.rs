//! Whether what is published of a type may be changed to something else without breaking those who rely on it.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Who relies on a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relied {
    /// Writers: what was good by the old schema must be good by the new one.
    ByWriters,
    /// Writers, since old documents are kept, and readers, who need what was always there. Readers pass over members and
    /// values that they don't know.
    ByWritersAndReaders,
}

/// Lists what a change of a schema breaks; empty if nothing.
pub fn breaks(old: &Value, new: &Value, relied: Relied) -> Vec<String> {
    let mut comparison = Comparison { old, new, relied, seen: BTreeSet::new(), found: Vec::new() };
    comparison.compare(old, new, "$");
    comparison.found
}

/// Asserts that a change of a published schema breaks nobody.
pub fn assert_unbroken(name: &str, old: &Value, new: &Value, relied: Relied) {
    let found = breaks(old, new, relied);
    assert!(
        found.is_empty(),
        "{name} would no longer mean what was published: {}. Give the new form a new name or version; if the old one was \
         never released, remove its file first",
        found.join("; ")
    );
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    relied: Relied,
    /// Pairs of definitions that are compared, or were: they may refer to themselves.
    seen: BTreeSet<(String, String)>,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn compare(&mut self, old: &Value, new: &Value, at: &str) {
        let pair = (reference(old), reference(new));
        if let (Some(from), Some(to)) = &pair
            && !self.seen.insert((from.clone(), to.clone()))
        {
            return;
        }
        let (old, new) = (resolved(self.old, old).clone(), resolved(self.new, new).clone());
        let (Some(was), Some(is)) = (old.as_object(), new.as_object()) else {
            if old != new && new != Value::Bool(true) {
                self.found.push(format!("{at}: {old} became {new}"));
            }
            return;
        };
        self.types(was, is, at);
        self.values(was, is, at);
        self.bounds(was, is, at);
        self.members(was, is, at);
        self.variants(was, is, at);
        if let Some(items) = was.get("items") {
            self.compare(items, is.get("items").unwrap_or(&Value::Bool(true)), &format!("{at}[]"));
        }
        let parts = |of: &Map<String, Value>| of.get("prefixItems").and_then(Value::as_array).cloned();
        if parts(was).map(|parts| parts.len()) != parts(is).map(|parts| parts.len()) {
            self.found.push(format!("{at}: it has another number of parts"));
        }
        for (n, (was, is)) in
            parts(was).unwrap_or_default().iter().zip(parts(is).unwrap_or_default()).enumerate()
        {
            self.compare(was, &is, &format!("{at}[{n}]"));
        }
    }

    fn types(&mut self, was: &Map<String, Value>, is: &Map<String, Value>, at: &str) {
        let types = |of: &Map<String, Value>| -> Option<BTreeSet<String>> {
            match of.get("type")? {
                Value::Array(types) => Some(types.iter().map(Value::to_string).collect()),
                one => Some(BTreeSet::from([one.to_string()])),
            }
        };
        let fits = match (types(was), types(is)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(was), Some(is)) => was.is_subset(&is),
        };
        if !fits {
            self.found.push(format!("{at}: its type changed"));
        }
    }

    fn values(&mut self, was: &Map<String, Value>, is: &Map<String, Value>, at: &str) {
        let listed = |of: &Map<String, Value>| -> Option<Vec<Value>> {
            of.get("enum")
                .and_then(Value::as_array)
                .cloned()
                .or_else(|| of.get("const").map(|value| vec![value.clone()]))
        };
        match (listed(was), listed(is)) {
            (_, None) => {}
            (None, Some(_)) => self.found.push(format!("{at}: it is one of a list only")),
            (Some(was), Some(is)) => {
                let gone = was.into_iter().filter(|value| !is.contains(value));
                self.found.extend(gone.map(|value| format!("{at}: {value} is gone")));
            }
        }
    }

    /// What bounds a value may become wider only.
    fn bounds(&mut self, was: &Map<String, Value>, is: &Map<String, Value>, at: &str) {
        let number = |of: &Map<String, Value>, name| of.get(name).and_then(Value::as_f64);
        for (lowest, highest) in [
            ("minimum", "maximum"),
            ("exclusiveMinimum", "exclusiveMaximum"),
            ("minLength", "maxLength"),
            ("minItems", "maxItems"),
            ("minProperties", "maxProperties"),
        ] {
            let narrower = number(is, lowest)
                .is_some_and(|is| number(was, lowest).is_none_or(|was| was < is))
                || number(is, highest).is_some_and(|is| number(was, highest).is_none_or(|was| was > is));
            if narrower {
                self.found.push(format!("{at}: its bounds are narrower ({lowest}, {highest})"));
            }
        }
        for name in ["pattern", "format"] {
            if is.get(name).is_some_and(|is| was.get(name) != Some(is)) {
                self.found.push(format!("{at}: its {name} changed"));
            }
        }
    }

    fn members(&mut self, was: &Map<String, Value>, is: &Map<String, Value>, at: &str) {
        let members = |of: &Map<String, Value>| {
            of.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let required = |of: &Map<String, Value>| -> BTreeSet<String> {
            let names = of.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let are = members(is);
        for (name, was) in members(was) {
            match are.get(&name) {
                Some(is) => self.compare(&was, is, &format!("{at}.{name}")),
                None => self.found.push(format!("{at}.{name} is gone")),
            }
        }
        let (were, are) = (required(was), required(is));
        self.found.extend(are.difference(&were).map(|name| format!("{at}.{name} must be there now")));
        if self.relied == Relied::ByWritersAndReaders {
            self.found.extend(were.difference(&are).map(|name| format!("{at}.{name} may be absent now")));
        }
        match (was.get("additionalProperties"), is.get("additionalProperties")) {
            (Some(Value::Bool(false)), _) | (_, None | Some(Value::Bool(true))) => {}
            (Some(was @ Value::Object(_)), Some(is @ Value::Object(_))) => {
                let (was, is) = (was.clone(), is.clone());
                self.compare(&was, &is, &format!("{at}.*"));
            }
            (was, is) if was == is => {}
            _ => self.found.push(format!("{at}: it takes fewer members")),
        }
    }

    /// Each variant there was must have one that it may have become.
    fn variants(&mut self, was: &Map<String, Value>, is: &Map<String, Value>, at: &str) {
        for kind in ["oneOf", "anyOf", "allOf"] {
            let listed = |of: &Map<String, Value>| of.get(kind).and_then(Value::as_array).cloned();
            let (Some(was), Some(is)) = (listed(was), listed(is)) else {
                if was.contains_key(kind) != is.contains_key(kind) {
                    self.found.push(format!("{at}: {kind} came or went"));
                }
                continue;
            };
            for variant in was {
                // One that has the same tag says best what is wrong.
                let mut nearest: Option<Comparison<'_>> = None;
                for other in &is {
                    let mut tried = Comparison {
                        old: self.old,
                        new: self.new,
                        relied: self.relied,
                        seen: self.seen.clone(),
                        found: Vec::new(),
                    };
                    tried.compare(&variant, other, &format!("{at}({})", label(self.old, &variant)));
                    if nearest.as_ref().is_none_or(|nearest| tried.found.len() < nearest.found.len()) {
                        nearest = Some(tried);
                    }
                }
                match nearest {
                    Some(nearest) => {
                        self.seen = nearest.seen;
                        self.found.extend(nearest.found);
                    }
                    None => self.found.push(format!("{at}: no variant is left")),
                }
            }
        }
    }
}

fn reference(schema: &Value) -> Option<String> {
    schema.get("$ref").and_then(Value::as_str).map(str::to_owned)
}

/// Follows a reference within its document.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).expect("a reference leads somewhere"),
        None => schema,
    }
}

/// Says which variant it is, by its tag or its reference.
fn label(document: &Value, variant: &Value) -> String {
    let target = resolved(document, variant);
    let tag = target["properties"]
        .as_object()
        .and_then(|members| members.values().find_map(|member| member["const"].as_str().map(str::to_owned)));
    let member = || target["properties"].as_object().and_then(|members| members.keys().next().cloned());
    tag.or_else(|| reference(variant)).or_else(member).unwrap_or_else(|| "variant".to_owned())
}
