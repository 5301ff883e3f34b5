//! What a collector of OpenTelemetry is sent of operations that are told of.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sdfs_server::ClusterOptions;

use common::{READY_WITHIN, TestCluster, small, wait_until};

/// A span and the server it is from.
type Told = (String, Span);

/// A collector on a port of its own.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Told>>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let spans = Arc::default();
        let taken = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, spans) = (stream.expect("accepted"), Arc::clone(&taken));
                std::thread::spawn(move || take_all(&stream, &spans));
            }
        });
        Collector { address, spans }
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.spans.lock().expect("whole"))
    }

    fn count(&self, name: &str) -> usize {
        let spans = self.spans.lock().expect("whole");
        spans.iter().filter(|(_, span)| span.name == name).count()
    }

    /// Whether what each span stands within is here too.
    fn is_closed(&self) -> bool {
        let spans = self.spans.lock().expect("whole");
        let ids: BTreeSet<_> = spans.iter().map(|(_, span)| &span.span_id).collect();
        let mut parents = spans.iter().map(|(_, span)| &span.parent_span_id);
        parents.all(|parent| parent.is_empty() || ids.contains(parent))
    }

    /// The servers a span of that name is from.
    fn servers_of(&self, name: &str) -> BTreeSet<String> {
        let spans = self.spans.lock().expect("whole");
        let named = spans.iter().filter(|(_, span)| span.name == name);
        named.map(|(server, _)| server.clone()).collect()
    }
}

/// Takes what comes over one connection, request by request.
fn take_all(mut stream: &TcpStream, spans: &Mutex<Vec<Told>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).expect("read") == 0 {
                return;
            }
        }
        let head = String::from_utf8(head).expect("UTF-8").to_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        reader.read_exact(&mut body).expect("the body");
        let sent = ExportTraceServiceRequest::decode(&body[..]).expect("spans");
        spans.lock().expect("whole").extend(told(sent));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .expect("answered");
    }
}

fn told(sent: ExportTraceServiceRequest) -> Vec<Told> {
    let mut all = Vec::new();
    for of_one in sent.resource_spans {
        let resource = of_one.resource.expect("who it is from");
        let named = |name: &str| {
            let attributes = resource.attributes.iter();
            let mut of_it = attributes.filter(|attribute| attribute.key == name);
            let value = of_it.next().and_then(|one| one.value.clone()?.value);
            let Some(Value::StringValue(text)) = value else {
                unreachable!("{name} is {value:?}");
            };
            text
        };
        assert_eq!(named("service.name"), "sdfs");
        let server = named("service.instance.id");
        let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| (server.clone(), span)));
    }
    all
}

/// A cluster that sends spans to `to`, soon.
fn cluster(to: SocketAddr) -> TestCluster {
    let options = ClusterOptions {
        operator: true,
        ..small()
    };
    let mut cluster = TestCluster::prepared(&options);
    let config = std::fs::read_to_string(&cluster.config_file).expect("written");
    let sending = format!("operator: (spans_to: \"http://{to}/\", ");
    let config = config.replacen("operator: (", &sending, 1);
    assert!(config.contains(&sending), "{config}");
    std::fs::write(&cluster.config_file, config).expect("written");
    let mut up = cluster.command(&["up", "--ready-within", "110s"]);
    up.env("OTEL_BSP_SCHEDULE_DELAY", "100");
    cluster.up_by(up);
    cluster
}

/// What the spans of one operation are called, and what the call is that each stands within.
fn tree(spans: &[Told]) -> BTreeSet<(&str, Option<&str>)> {
    let all: Vec<_> = spans
        .iter()
        .map(|(server, span)| {
            let (id, parent) = (hex(&span.span_id), hex(&span.parent_span_id));
            (server, &span.name, hex(&span.trace_id), id, parent)
        })
        .collect();
    let traces: BTreeSet<_> = all.iter().map(|(_, _, trace, ..)| trace).collect();
    assert_eq!(traces.len(), 1, "one operation is told of: {all:#?}");
    let names: BTreeMap<_, _> = spans
        .iter()
        .map(|(_, span)| (&span.span_id, &*span.name))
        .collect();
    assert_eq!(names.len(), spans.len(), "each has an id of its own");
    for (server, span) in spans {
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{server}: {span:#?}"
        );
        let is_known = names.contains_key(&span.parent_span_id);
        assert!(is_known || span.parent_span_id.is_empty(), "{all:#?}");
    }
    spans
        .iter()
        .map(|(_, span)| (&*span.name, names.get(&span.parent_span_id).copied()))
        .collect()
}

#[test]
fn a_collector_sees_an_operation_from_the_client_to_every_disk() {
    let collector = Collector::start();
    let cluster = cluster(collector.address);
    let file = cluster.local("file", &[7; 4096]);
    cluster.ok(&["put", &file, "/untold"]);
    cluster.ok(&["mkdir", "/created"]);
    cluster.ok(&["console", "-c", "trace on /put", "-c", "trace on /created/"]);
    cluster.ok(&["put", &file, "/put"]);
    let dservers: BTreeSet<_> = (1..=3).map(|n| format!("dserver-{n}")).collect();
    wait_until("every disk's part of the put is sent", READY_WITHIN, || {
        collector.servers_of("appended") == dservers
            && collector.servers_of("FinishPut").len() == 1
            && collector.servers_of("CanCreate").len() == 2
            && collector.is_closed()
    });
    let wanted = BTreeSet::from([
        ("BeginPut", None),
        ("asked for", Some("BeginPut")),
        ("CanCreate", Some("BeginPut")),
        ("WriteBlock", None),
        ("appended", Some("WriteBlock")),
        ("WriteCopy", Some("WriteBlock")),
        ("appended", Some("WriteCopy")),
        ("FinishPut", None),
        ("asked for", Some("FinishPut")),
        ("committed", Some("FinishPut")),
    ]);
    assert_eq!(tree(&collector.take()), wanted);

    // Where the mserver that is asked keeps the record itself it asks nobody for that.
    let mut is_kept_elsewhere = false;
    for round in 0..20 {
        let via = format!("mserver-{}", round % 3 + 1);
        let path = format!("/created/{round}");
        cluster.ok(&["create", &path, "--size", "1KiB", "--via", &via]);
        wait_until("every dserver's part is sent", READY_WITHIN, || {
            collector.servers_of("AcceptFile") == dservers
                && collector.servers_of("CreateFile").len() == 1
                && collector.servers_of("CanCreate").len() == 2
                // Of the name and of the record.
                && collector.count("committed") == 2
                && collector.is_closed()
        });
        let mut wanted = BTreeSet::from([
            ("CreateFile", None),
            ("asked for", Some("CreateFile")),
            ("CanCreate", Some("CreateFile")),
            ("AcceptFile", Some("CreateFile")),
            ("committed", Some("CreateFile")),
        ]);
        let spans = collector.take();
        let found = tree(&spans);
        is_kept_elsewhere = found.contains(&("CreateMetaData", Some("CreateFile")));
        if is_kept_elsewhere {
            wanted.insert(("CreateMetaData", Some("CreateFile")));
            wanted.insert(("committed", Some("CreateMetaData")));
        }
        assert_eq!(found, wanted);
        if is_kept_elsewhere {
            break;
        }
    }
    assert!(is_kept_elsewhere, "each mserver kept what it was asked for");
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn nobody_waits_for_a_collector() {
    // Takes connections and reads nothing of them.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut cluster = cluster(deaf.local_addr().expect("bound"));
    let file = cluster.local("file", &[7; 4096]);
    cluster.ok(&["console", "-c", "trace on /told"]);
    for round in 0..5 {
        cluster.ok(&["put", &file, &format!("/told-{round}")]);
        cluster.ok(&["put", &file, "/told"]);
        cluster.ok(&["rm", "/told"]);
    }
    drop(deaf);
    cluster.ok(&["put", &file, "/told"]);
    assert!(cluster.down().success(), "it stops as always");
    let logs = cluster.logs();
    assert!(
        logs.contains("the collector of spans does not take them"),
        "{logs}"
    );
}
