//! Silence is not consent: what happens when those who must agree are not there.

use std::time::{Duration, Instant};

use sdfs_client::{CallOptions, CreateOptions, Error, PutOptions, Refusal};

use super::servers::{Servers, run};

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
        let brief = client.with(CallOptions {
            timeout,
            ..CallOptions::default()
        });
        let begun = Instant::now();
        let outcome = brief
            .create_file_meta_data("/alone", CreateOptions::default())
            .await;
        assert!(outcome.is_err(), "one of three decided by itself");
        assert!(begun.elapsed() < Duration::from_secs(15), "the client hung");
        servers.spawn_all();
        servers.usable().await;
        assert_eq!(client.get("/before").await.expect("a get"), "kept");
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
        assert_eq!(client.get("/file").await.expect("reads go on"), "content");
        client
            .put("/file", "changed", PutOptions::default())
            .await
            .expect("writes go on");
        assert_eq!(client.get("/file").await.expect("a get"), "changed");
    });
}
