//! How large the rows of each view are: `cargo run --release -p projections --example rows -- <data>/views EVENTS`, of a market that is
//! stopped and whose log has so many events. It is what docs/views.md tells.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::num::NonZeroU64;
use std::path::Path;

use projections::ViewError;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, events] = &arguments[..] else {
        return Err("name the folder of views, and how many events there are".into());
    };
    let (dir, events) = (Path::new(dir), events.parse::<NonZeroU64>()?);
    if !dir.is_dir() {
        return Err(format!("{} is no folder of views", dir.display()).into());
    }
    let db = projections::open_db(dir)?;
    for name in db.tree_names() {
        let view = String::from_utf8_lossy(&name).into_owned();
        // The others are sled's own, and the names of the live trees.
        if !view.contains('@') {
            continue;
        }
        let tables = projections::sizes(&db.open_tree(&name).map_err(ViewError::from)?)?;
        let all: u64 = tables.values().map(|(_, bytes)| bytes).sum();
        let tenths = 10 * all / events;
        println!("{view}: {}.{} bytes an event", tenths / 10, tenths % 10);
        for (table, (rows, bytes)) in tables {
            println!("  {}: {rows} rows of {} bytes", char::from(table), bytes / rows.max(1));
        }
    }
    Ok(())
}
