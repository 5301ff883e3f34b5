//! Silence is not consent: what happens when those who must agree are not there.

use std::time::{Duration, Instant};

use sdfs_client::{CallOptions, CreateOptions, Error, PutOptions, Refusal};

use super::servers::{Servers, run};

/// A loss is noticed and another main chosen within about two seconds, on a busy machine later.
const REPLACED_WITHIN: Duration = Duration::from_secs(40);

#[test]
fn no_dserver_means_no_file() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        for name in ["dserver-1", "dserver-2", "dserver-3"] {
            servers.kill(name);
        }
        let refused = client
            .create_file_meta_data("/nowhere", CreateOptions::default())
            .await;
        let error = refused.map(drop).expect_err("no create without dservers");
        assert!(
            matches!(error, Error::Refused(Refusal::NoVolume { .. })),
            "a definite refusal, not {error}"
        );
        assert!(
            client
                .stat("/nowhere")
                .await
                .is_err_and(|error| error.is_not_found())
        );
        servers.spawn_all();
        servers.usable().await;
        client
            .create_file_meta_data("/nowhere", CreateOptions::default())
            .await
            .expect("the name was not burned");
    });
}

#[test]
fn a_lone_mserver_decides_nothing() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let client = servers.client_via("mserver-1").await;
        client
            .put("/before", "kept", PutOptions::default())
            .await
            .expect("a put");
        servers.kill("mserver-2");
        servers.kill("mserver-3");
        let timeout = Some(Duration::from_secs(4));
        let request = Some(client.next_request());
        let brief = client.with(CallOptions {
            timeout,
            request,
            ..CallOptions::default()
        });
        let begun = Instant::now();
        let error = brief
            .create_file_meta_data("/alone", CreateOptions::default())
            .await
            .map(drop)
            .expect_err("one of three decided by itself");
        assert!(
            matches!(
                error,
                Error::Refused(Refusal::NoQuorum { .. }) | Error::Unknown { .. }
            ),
            "neither no quorum nor unknown: {error:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "the client hung");
        servers.spawn_all();
        servers.usable().await;
        assert_eq!(client.get("/before").await.expect("a get"), "kept");
        // The same request has one outcome, whoever is asked and however often.
        let mut made = Vec::new();
        for name in servers.mservers() {
            let again = servers.client_via(&name).await.with(CallOptions {
                request,
                ..CallOptions::default()
            });
            let created = again
                .create_file_meta_data("/alone", CreateOptions::default())
                .await
                .unwrap_or_else(|error| panic!("via {name}: {error}\n{}", servers.logs()));
            made.push(created.file.meta_data().descriptor);
        }
        assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
        let stat = client.stat("/alone").await.expect("a stat");
        assert_eq!(stat.name.descriptor, made[0]);
    });
}

#[test]
fn a_lost_main_is_replaced() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        client
            .put("/file", "content", PutOptions::default())
            .await
            .expect("a put");
        let open = client
            .get_file_meta_data("/file")
            .await
            .expect("its record");
        let main = open.name.locate.expect("a file has a main").main;
        let main = servers
            .config()
            .servers
            .iter()
            .find(|server| server.id == main)
            .expect("a server of the cluster")
            .name
            .to_string();
        servers.kill(&main);
        let begun = Instant::now();
        assert_eq!(client.get("/file").await.expect("reads go on"), "content");
        let put = client
            .put("/file", "changed", PutOptions::default())
            .await
            .expect("writes go on");
        let taken = begun.elapsed();
        assert!(taken < REPLACED_WITHIN, "only after {taken:?}");
        assert_eq!(client.get("/file").await.expect("a get"), "changed");
        let mut seen = Vec::new();
        for name in servers.mservers() {
            if name != main {
                let stat = servers.client_via(&name).await.stat("/file").await;
                let stat = stat.unwrap_or_else(|error| panic!("via {name}: {error}"));
                assert_eq!(stat.name.descriptor, put.descriptor, "via {name}");
                seen.push((stat.name, stat.file));
            }
        }
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], seen[1]);
    });
}
