//! `create`: a file of a declared size, and the timeline of how it came to be.

use sdfs_client::{Client, CreateOptions};
use sdfs_types::{ServerId, Trace, TraceStep};

use super::put::block_size;
use crate::args::{CreateArgs, Global};
use crate::failure::Outcome;
use crate::output::Output;
use crate::session;
use crate::table::Table;

/// Creates the file the command line names.
pub(crate) async fn run(global: &Global, args: &CreateArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let options = CreateOptions {
        size_bytes: args.size,
        block_size: block_size(args.block_size)?,
        make_parents: args.parents,
        explain: args.explain,
        ..CreateOptions::default()
    };
    let client = session::connect(global).await?;
    let created = client.create_file_meta_data(path.as_str(), options).await?;
    let descriptor = created.file.meta_data().descriptor.to_string();
    let steps = created.trace.as_ref().map(|trace| rows(&client, trace));
    out.json(&serde_json::json!({
        "path": path,
        "descriptor": descriptor,
        "size_bytes": args.size,
        "timeline": steps,
    }));
    out.say(&format!("{path}  file {descriptor}"));
    if let Some(trace) = &created.trace {
        timeline(&client, trace).print(out, 0);
    }
    Ok(())
}

/// One line of a timeline.
#[derive(Debug, serde::Serialize)]
struct Row {
    step: u8,
    at_us: u64,
    server: String,
    what: String,
}

/// The timeline as a table; what one server says of several volumes at a time is one line.
pub(crate) fn timeline(client: &Client, trace: &Trace) -> Table {
    let mut table = Table::new(&[">step", ">at us", ">+us", "server", "what"]);
    let mut before = 0;
    for row in rows(client, &trace.together()) {
        let after = row.at_us.saturating_sub(before);
        before = row.at_us;
        table.row([
            row.step.to_string(),
            row.at_us.to_string(),
            after.to_string(),
            row.server,
            row.what,
        ]);
    }
    table
}

fn rows(client: &Client, trace: &Trace) -> Vec<Row> {
    let name_of = |server: ServerId| match client.server_name(server) {
        Some(name) => name,
        None => format!("server {server}"),
    };
    let row = |step: &TraceStep| {
        let (number, what) = step.what.words(&name_of);
        Row {
            step: number,
            at_us: step.at_us,
            server: name_of(step.server),
            what,
        }
    };
    trace.steps.iter().map(row).collect()
}
