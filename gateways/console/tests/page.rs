//! The live page in a browser: what somebody sees of a cluster that has lost a dserver.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::{cluster, http_of, until};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// How long the page lives, milliseconds of the browser's own time: several looks.
const PAGE_MS: u32 = 6_000;

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

/// What the page has become: its elements, as text.
fn page(browser: &Path, door: SocketAddr) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = timed(browser)
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
        .args(["--disable-sync", "--disable-dev-shm-usage", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("--virtual-time-budget={PAGE_MS}"))
        .arg(format!("http://{door}/"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(
        page.contains("</html>"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    page
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

fn round_trips_in(graph: &str) -> usize {
    graph.matches(" \u{b5}s</text>").count() + graph.matches(" ms</text>").count()
}

#[actix_rt::test]
async fn a_lost_server_is_seen_in_words_and_shape() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium is installed to look at the page with");
        return;
    };
    let mut cluster = cluster().await;
    cluster.kill("dserver-2").unwrap();
    let door = http_of(&cluster, "mserver-1");
    until(door, "/api/status", |(_, look)| {
        // Round trips between the five others are known, both ways, before somebody looks.
        look.contains("\"answers\":false") && look.matches("\"rtt_us\":null").count() <= 5
    })
    .await;
    let whole = move || {
        // On a busy machine a look may come too late for one of the five.
        let round_trips =
            |page: &String| round_trips_in(part(page, "id=\"graph\"", "</svg>")) == 10;
        let mut seen = page(&browser, door);
        for _ in 0..2 {
            if !round_trips(&seen) {
                seen = page(&browser, door);
            }
        }
        seen
    };
    let page = tokio::task::spawn_blocking(whole).await.unwrap();

    let rows = part(&page, "id=\"server-rows\">", "</tbody>");
    assert_eq!(rows.matches("<tr>").count(), 6, "{rows}");
    assert_eq!(rows.matches("mark bad").count(), 1, "{rows}");
    let row = part(rows, "<i class=\"mark bad\"></i>dserver-2", "</tr>");
    assert!(row.contains("<td>no answer</td>"), "{row}");

    let graph = part(&page, "id=\"graph\"", "</svg>");
    assert_eq!(graph.matches("<circle").count(), 3, "{graph}");
    assert_eq!(graph.matches("<rect").count(), 3, "{graph}");
    assert_eq!(
        graph.matches("<path").count(),
        1,
        "the lost one is crossed out: {graph}"
    );
    assert_eq!(
        graph.matches("stroke-dasharray=\"4 5\"").count(),
        5,
        "its lines are dashed: {graph}"
    );
    assert_eq!(graph.matches(">no answer<").count(), 1, "{graph}");
    assert_eq!(
        round_trips_in(graph),
        10,
        "round trips between the five that answer: {graph}"
    );

    let banner = part(&page, "id=\"banner\"", "</div>");
    assert!(banner.contains("class=\"bad\"") && banner.contains("dserver-2 does not answer."));
}
