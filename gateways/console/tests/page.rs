//! The live page in a browser: what somebody sees of a cluster that has lost a dserver and in which
//! a link is slow, and what he sees from the side of a minority.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use kit::until;
use kit::wires::Wires;
use kit::world::World;
use serde_json::Value;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// How long the page lives, milliseconds of the browser's own time, in which no answer takes any.
const PAGE_MS: u32 = 6_000;
/// ... in a picture, for what it plots: looks of several seconds.
const PICTURE_MS: u32 = 90_000;
/// Looks at the page at most: on a busy machine one may come too late for a server.
const LOOKS_MAX: usize = 5;
/// Size of a picture of the page.
const WIDTH: u32 = 1_440;
const HEIGHT: u32 = 1_240;
/// A picture with less in it is of a blank page.
const PICTURE_BYTES_MIN: usize = 60_000;
/// The slow link, and how long each way of it takes.
const SLOW: [&str; 2] = ["mserver-2", "dserver-3"];
const EACH_WAY: Duration = Duration::from_millis(200);

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)));
    // Some systems have a file of that name which only says where to get a browser.
    let starts = |file: &PathBuf| {
        let version = timed(file).arg("--version").stdin(Stdio::null()).output();
        file.is_file() && version.is_ok_and(|output| output.status.success())
    };
    all.find(starts)
}

/// A browser that ends, whatever it waits for.
fn timed(browser: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "60"]).arg(browser);
    command
}

/// Opens the page, and does with it what is wanted.
fn opened(browser: &Path, door: SocketAddr, wanted: &[String]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    timed(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-sync", "--disable-dev-shm-usage"])
        .args(wanted)
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("http://{door}/"))
        // Times of day are told as at the browser.
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What the page has become, as soon as it is as wanted: its elements, as text.
async fn page(browser: &Path, door: SocketAddr, is_wanted: impl Fn(&str) -> bool) -> String {
    for look in 1.. {
        let browser = browser.to_owned();
        let wanted = [
            "--dump-dom".to_owned(),
            format!("--virtual-time-budget={PAGE_MS}"),
        ];
        let opening = move || opened(&browser, door, &wanted);
        let output = tokio::task::spawn_blocking(opening).await.unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(page.contains("</html>"), "{words}");
        if is_wanted(&page) || look == LOOKS_MAX {
            return page;
        }
    }
    unreachable!("it returns with the last look");
}

/// A picture of the page, for people to look at as well.
async fn picture(browser: &Path, door: SocketAddr, name: &str) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let wanted = [
        format!("--screenshot={}", file.display()),
        format!("--window-size={WIDTH},{HEIGHT}"),
        "--hide-scrollbars".to_owned(),
        format!("--virtual-time-budget={PICTURE_MS}"),
    ];
    let browser = browser.to_owned();
    let opening = move || opened(&browser, door, &wanted);
    let output = tokio::task::spawn_blocking(opening).await.unwrap();
    let picture = std::fs::read(&file);
    let words = String::from_utf8_lossy(&output.stderr);
    let picture = picture.unwrap_or_else(|error| panic!("{error}: {words}"));
    // Signature, and the first chunk: its length, its name, then width and height (RFC 2083).
    assert_eq!(picture[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), (WIDTH, HEIGHT));
    assert!(picture.len() > PICTURE_BYTES_MIN, "{} bytes", picture.len());
}

/// The text between the first `begin` and the next `end`.
fn part<'a>(page: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = page
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin} in {page}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("no {end} after {begin}"))
        .0
}

fn graph(page: &str) -> &str {
    part(page, "id=\"graph\"", "</svg>")
}

fn banner(page: &str) -> &str {
    part(page, "id=\"banner\"", "</div>")
}

fn round_trips_in(graph: &str) -> usize {
    graph.matches(" \u{b5}s</text>").count() + graph.matches(" ms</text>").count()
}

/// A number of an element's attribute.
fn number(element: &str, name: &str) -> f64 {
    let text = part(element, &format!(" {name}=\""), "\"");
    text.parse().unwrap_or_else(|_| panic!("{name} is {text}"))
}

/// Where the name of a server stands, and so about where the server is drawn.
fn place_of(graph: &str, server: &str) -> (f64, f64) {
    let (before, _) = graph.split_once(&format!(">{server}</text>")).unwrap();
    let label = &before[before.rfind("<text").unwrap()..];
    let label = format!("{label}>");
    (number(&label, "x"), number(&label, "y"))
}

/// The server whose name stands nearest to a place.
fn server_at<'a>(graph: &str, servers: &[&'a str], (x, y): (f64, f64)) -> &'a str {
    let far = |server: &&str| {
        let place = place_of(graph, server);
        (place.0 - x).hypot(place.1 - y)
    };
    let nearest = |a: &&&str, b: &&&str| far(a).total_cmp(&far(b));
    servers.iter().min_by(nearest).unwrap()
}

/// The lines drawn as slow, as elements.
fn slow_lines(graph: &str) -> Vec<&str> {
    let lines = graph.split("<line").skip(1);
    let lines = lines.filter_map(|line| line.split('>').next());
    lines
        .filter(|line| line.contains("class=\"slow\""))
        .collect()
}

#[actix_rt::test]
async fn the_page_tells_the_truth_from_both_sides() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium is installed to look at the page with");
        return;
    };
    let slow = Wires {
        slow: Some((SLOW, EACH_WAY)),
        ..Wires::default()
    };
    let mut world = World::start(slow).await;
    world.kill("dserver-2");
    a_lost_server_and_a_slow_link_are_seen(&world, &browser).await;
    let apart = ["mserver-1", "dserver-1"].into();
    world.wires.send_modify(|wires| wires.apart = apart);
    a_minority_says_so(&world, &browser).await;
}

async fn a_lost_server_and_a_slow_link_are_seen(world: &World, browser: &Path) {
    let door = world.http_of("mserver-1");
    // Round trips between the five others are known, both ways, before somebody looks.
    until(door, "/api/status", |(_, look)| {
        look.contains("\"answers\":false") && look.matches("\"rtt_us\":null").count() <= 5
    })
    .await;
    let page = page(browser, door, |page| {
        let graph = graph(page);
        round_trips_in(graph) == 10 && slow_lines(graph).len() == 1
    })
    .await;

    let rows = part(&page, "id=\"server-rows\">", "</tbody>");
    assert_eq!(rows.matches("<tr>").count(), 6, "{rows}");
    assert_eq!(rows.matches("mark bad").count(), 1, "{rows}");
    let row = part(rows, "<i class=\"mark bad\"></i>dserver-2", "</tr>");
    assert!(row.contains("<td>no answer</td>"), "{row}");

    let graph = graph(&page);
    let count = |what: &str| graph.matches(what).count();
    assert_eq!((count("<circle"), count("<rect")), (3, 3), "{graph}");
    assert_eq!(count("<path"), 1, "the lost one is crossed out: {graph}");
    assert_eq!(
        count("stroke-dasharray=\"4 5\""),
        5,
        "its lines are dashed: {graph}"
    );
    assert_eq!(count(">no answer<"), 1, "{graph}");
    assert_eq!(
        round_trips_in(graph),
        10,
        "round trips between the five that answer: {graph}"
    );
    the_slow_link_stands_out(&page, graph);
    let banner = banner(&page);
    assert!(banner.contains("class=\"bad\"") && banner.contains("dserver-2 does not answer."));
    picture(browser, door, "page.png").await;
}

/// In colour, in shape, with its time, and in words.
fn the_slow_link_stands_out(page: &str, graph: &str) {
    let [slow] = slow_lines(graph)[..] else {
        panic!("one link is slow: {graph}");
    };
    assert!(slow.contains("stroke=\"var(--warn)\""), "{slow}");
    assert!(slow.contains("stroke-dasharray=\"1 4\""), "{slow}");
    let servers = [
        "mserver-1",
        "mserver-2",
        "mserver-3",
        "dserver-1",
        "dserver-2",
        "dserver-3",
    ];
    let ends = [["x1", "y1"], ["x2", "y2"]].map(|[x, y]| {
        let place = (number(slow, x), number(slow, y));
        server_at(graph, &servers, place)
    });
    assert!(SLOW.iter().all(|name| ends.contains(name)), "{ends:?}");
    // The time stands on the line, and its words below the picture's title.
    let times = graph.split(" ms</text>").filter_map(|text| {
        let digits = text.rsplit('>').next()?;
        digits.parse::<f64>().ok()
    });
    let slowest = times.fold(0.0, f64::max);
    let both_ways = 2.0 * EACH_WAY.as_secs_f64() * 1_000.0;
    assert!(
        (0.8 * both_ways..3.0 * both_ways).contains(&slowest),
        "{slowest} ms"
    );
    let sum = part(page, "id=\"mesh-sum\">", "</b>");
    assert_eq!(
        sum,
        "10 of 15 connections; slow: mserver-2 \u{2013} dserver-3"
    );
    assert!(part(page, "class=\"legend\">", "</div>").contains("dotted: slow"));
}

async fn a_minority_says_so(world: &World, browser: &Path) {
    let door = world.http_of("mserver-1");
    let is_alone = |(_, look): &(u16, String)| {
        let look: Value = serde_json::from_str(look).unwrap_or_default();
        let answering = look["servers"].as_array().into_iter().flatten();
        let answering = answering.filter(|server| server["answers"] == true);
        look["alone_since_ms"].is_u64() && answering.count() == 2
    };
    let (_, look) = until(door, "/api/status", is_alone).await;
    let look: Value = serde_json::from_str(&look).unwrap();
    let since_s = look["alone_since_ms"].as_u64().unwrap() / 1_000;
    let clock = [since_s / 3_600 % 24, since_s / 60 % 60, since_s % 60];
    let clock = clock.map(|part| format!("{part:02}")).join(":");
    let page = page(browser, door, |page| {
        graph(page).matches("<path").count() == 4
    })
    .await;
    let banner = banner(&page);
    let since = format!("<p>This side is the minority since {clock}.</p>");
    assert!(
        banner.contains("class=\"bad\"") && banner.contains(&since),
        "{banner}"
    );
    assert!(
        banner.contains("mserver-1 hears no majority of the mservers: nothing can be changed"),
        "{banner}"
    );
    // Of itself and of the one it still hears it says that they are cut off, of the rest that
    // they do not answer.
    let graph = graph(&page);
    let count = |what: &str| graph.matches(what).count();
    assert_eq!(
        (count(">cut off<"), count(">no answer<")),
        (2, 4),
        "{graph}"
    );
    let rows = part(&page, "id=\"server-rows\">", "</tbody>");
    assert_eq!(rows.matches("mark warn").count(), 2, "{rows}");
    assert_eq!(rows.matches("<td>no answer</td>").count(), 4, "{rows}");
    let sum = part(&page, "id=\"mesh-sum\">", "</b>");
    assert_eq!(sum, "1 of 15 connections");
    // Whoever is cut off leads nothing, though it may not have heard of that.
    let groups = part(&page, "id=\"group-rows\">", "</tbody>");
    assert_eq!(groups.matches("<tr>").count(), 4, "{groups}");
    assert!(!groups.contains("<td>mserver-1</td>"), "{groups}");
    picture(browser, door, "page-of-a-minority.png").await;

    // The other side goes on, and misses them.
    let door = world.http_of("mserver-2");
    until(door, "/api/status", |(_, look)| {
        look.matches("\"answers\":false").count() == 3 && look.contains("\"alone_since_ms\":null")
    })
    .await;
}
