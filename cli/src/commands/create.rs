//! `create`: a file of a declared size, and the timeline of how it came to be.

use sdfs_client::{Client, CreateOptions};
use sdfs_types::{ServerId, Trace, TraceStep, TraceWhat};

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
    for row in rows(client, &together(trace)) {
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

/// The steps without those that repeat an earlier one for another volume.
fn together(trace: &Trace) -> Trace {
    let mut steps: Vec<TraceStep> = Vec::with_capacity(trace.steps.len());
    for step in &trace.steps {
        let is_repeated = steps.iter().any(|seen| {
            let same = std::mem::discriminant(&seen.what) == std::mem::discriminant(&step.what);
            let of_volume = matches!(
                step.what,
                TraceWhat::Offered { .. } | TraceWhat::Accepted { .. }
            );
            same && of_volume && seen.server == step.server
        });
        if !is_repeated {
            steps.push(step.clone());
        }
    }
    Trace { steps }
}

fn rows(client: &Client, trace: &Trace) -> Vec<Row> {
    let name_of = |server: ServerId| match client.server_name(server) {
        Some(name) => name,
        None => format!("server {server}"),
    };
    let row = |step: &TraceStep| {
        let (number, what) = words(&step.what, &name_of);
        Row {
            step: number,
            at_us: step.at_us,
            server: name_of(step.server),
            what,
        }
    };
    trace.steps.iter().map(row).collect()
}

/// Which of the nine steps something belongs to, and what to say of it.
fn words(what: &TraceWhat, name_of: &impl Fn(ServerId) -> String) -> (u8, String) {
    match what {
        TraceWhat::Received => (1, "takes the request and coordinates it".to_owned()),
        TraceWhat::Asked => (2, "is asked: can it be created?".to_owned()),
        TraceWhat::Can { load } => (
            3,
            format!("votes can, reserves the name ({load} creates under way)"),
        ),
        TraceWhat::Cannot { reason } => (3, format!("votes cannot: {reason}")),
        TraceWhat::Majority { votes, voters } => {
            (4, format!("counts {votes} of {voters} votes: enough"))
        }
        TraceWhat::Chose { main, slaves } => {
            let slaves: Vec<_> = slaves.iter().map(|slave| name_of(*slave)).collect();
            let slaves = if slaves.is_empty() {
                "nobody".to_owned()
            } else {
                slaves.join(", ")
            };
            (
                5,
                format!("chooses main {} and slaves {slaves}", name_of(*main)),
            )
        }
        TraceWhat::Decided => (6, "the name is committed on a majority".to_owned()),
        TraceWhat::MetaDataCreated => (7, "file-meta-data is committed by the main".to_owned()),
        TraceWhat::Offered { .. } => (7, "is offered the file's blocks".to_owned()),
        TraceWhat::Accepted { .. } => (7, "reserves room and accepts them".to_owned()),
        TraceWhat::NotAccepted { volume, reason } => {
            (7, format!("does not accept volume {volume}: {reason}"))
        }
        TraceWhat::MainAnswered => (8, "the main answers the coordinator".to_owned()),
        TraceWhat::Answered => (9, "answers the client".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_one_server_are_one_line() {
        let step = |at_us, server, what| TraceStep {
            at_us,
            server: ServerId(server),
            what,
        };
        let offered = |volume| TraceWhat::Offered {
            volume: sdfs_types::VolumeId(volume),
        };
        let accepted = |volume| TraceWhat::Accepted {
            volume: sdfs_types::VolumeId(volume),
        };
        let steps = vec![
            step(1, 4, offered(1)),
            step(2, 4, offered(2)),
            step(2, 5, offered(1)),
            step(3, 4, accepted(1)),
            step(4, 4, accepted(2)),
        ];
        let kept: Vec<_> = together(&Trace { steps })
            .steps
            .iter()
            .map(|step| step.at_us)
            .collect();
        assert_eq!(kept, [1, 2, 3]);
    }

    #[test]
    fn steps_are_numbered_as_designed() {
        let name_of = |server: ServerId| format!("m{server}");
        let chose = TraceWhat::Chose {
            main: ServerId(2),
            slaves: vec![ServerId(3), ServerId(1)],
        };
        assert_eq!(
            words(&chose, &name_of),
            (5, "chooses main m2 and slaves m3, m1".to_owned())
        );
        assert_eq!(words(&TraceWhat::Answered, &name_of).0, 9);
    }
}
