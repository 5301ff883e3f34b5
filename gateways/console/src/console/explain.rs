//! `explain`: how a name came to be, step by step, and who keeps its record and its bytes now.

use sdfs_types::calls::negotiation::{GetTimeline, TimelinePart};
use sdfs_types::{FilePath, OpenFile, Role, ServerId};
use serde_json::{Value, json};

use super::Console;
use super::files::open;
use super::reply::Reply;
use crate::ask::ask_each;

/// Who decided a name, who keeps its record and its bytes, which of them are heard now, and the
/// timeline as long as a mserver remembers it.
pub(super) async fn explain(console: &Console, user: &str, path: FilePath) -> Reply {
    let open = match open(console, user, path).await {
        Ok(open) => open,
        Err(fault) => return Reply::unanswered(&fault),
    };
    let call = GetTimeline {
        request: open.name.request,
    };
    let mesh = console.server.mesh();
    let told = ask_each(mesh, &[Role::Mserver], &call).await;
    let silent = told.iter().filter(|(_, _, _, answer)| answer.is_err());
    let silent: Vec<_> = silent.map(|(_, name, _, _)| name.to_string()).collect();
    let parts = told.into_iter().filter_map(|(_, _, _, answer)| answer.ok());
    let rows = steps(parts.flatten().collect(), |id| name_at(console, id));
    let mut fields = facts(console, &open);
    let timeline = match (rows.is_empty(), silent.is_empty()) {
        (false, _) => "below",
        (true, true) => "no mserver remembers it any more",
        (true, false) => "not known to the mservers that answer",
    };
    fields.push(("timeline", json!(timeline)));
    if !silent.is_empty() {
        fields.push(("no_answer", json!(silent)));
    }
    if rows.is_empty() {
        return Reply::Fields(fields);
    }
    let columns = ["at_ms", "after_us", "step", "server", "what"];
    Reply::Both {
        fields,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    }
}

fn name_at(console: &Console, id: ServerId) -> String {
    console.server.status().name_of(id)
}

fn facts(console: &Console, open: &OpenFile) -> Vec<(&'static str, Value)> {
    let status = console.server.status();
    let mesh = console.server.mesh();
    let named = |id: ServerId| match mesh.is_up(id) {
        true => status.name_of(id),
        false => format!("{} (not heard)", status.name_of(id)),
    };
    let leader_of = |group: u8| {
        let groups = status.groups.iter();
        let group = groups.into_iter().find(|one| one.group == group)?;
        group.leader.map(named)
    };
    let mut fields = vec![
        ("id", json!(open.name.descriptor.to_string())),
        ("size_bytes", json!(open.file.size_bytes)),
        ("created_ms", json!(open.file.created_ms)),
        ("request", json!(open.name.request.to_string())),
        ("root_leader", json!(leader_of(0))),
    ];
    if let Some(locate) = &open.name.locate {
        let slaves: Vec<_> = locate.slaves.iter().map(|id| named(*id)).collect();
        fields.push(("meta_group", json!(locate.group.0)));
        fields.push(("main", json!(named(locate.main))));
        fields.push(("slaves", json!(slaves)));
        // Known to members of the group.
        fields.push(("meta_leader", json!(leader_of(locate.group.0))));
    }
    let volumes = open.volumes.iter().map(|volume| {
        let copies: Vec<_> = volume.readable().map(named).collect();
        format!("{}: {}", volume.id, copies.join(" "))
    });
    fields.push(("volumes", json!(volumes.collect::<Vec<_>>())));
    fields.push(("blocks", json!(open.blocks.entries.len())));
    fields
}

/// A row for each step, in the order of the mservers' clocks.
fn steps(mut parts: Vec<TimelinePart>, name_of: impl Fn(ServerId) -> String) -> Vec<Vec<Value>> {
    parts.sort_by_key(|part| part.began_ms);
    let row = |part: &TimelinePart| {
        let trace = part.trace.together();
        let rows = trace.steps.iter().map(|step| {
            let (number, what) = step.what.words(&name_of);
            vec![
                json!(part.began_ms + step.at_us / 1_000),
                json!(step.at_us),
                json!(number),
                json!(name_of(step.server)),
                json!(what),
            ]
        });
        rows.collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = parts.iter().flat_map(row).collect();
    // A vote may outlast the beginning of the end.
    rows.sort_by_key(|row| row[0].as_u64());
    rows
}

#[cfg(test)]
mod tests {
    use sdfs_types::{Trace, TraceStep, TraceWhat};

    use super::*;

    #[test]
    fn the_beginning_of_a_put_comes_before_its_end() {
        let part = |began_ms, what| TimelinePart {
            began_ms,
            trace: Trace {
                steps: vec![TraceStep {
                    at_us: 1_500,
                    server: ServerId(2),
                    what,
                }],
            },
        };
        let parts = vec![part(70, TraceWhat::Decided), part(50, TraceWhat::Received)];
        let rows = steps(parts, |id| format!("m-{id}"));
        let first = [
            json!(51),
            json!(1_500),
            json!(1),
            json!("m-2"),
            json!("takes the request and coordinates it"),
        ];
        assert_eq!(rows[0], first);
        assert_eq!((rows.len(), &rows[1][2]), (2, &json!(6)));
    }
}
