//! One instance after the other is restarted while clients send through a balancer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::balancer::{self, Balancer, INSTANCES};
use super::fleet::{self, Fleet, free_port};
use super::ledger::{self, Ledger};
use super::load::{Addresses, Load, Plan};
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::Setup;
use super::support::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_haproxy_fails_no_mail() {
    let name = "a_rolling_restart_behind_haproxy_fails_no_mail";
    if !fleet::has_postgres(name) || !balancer::is_installed(name) {
        return;
    }
    let seed = fleet::seed();
    let context = format!("seed {seed}");
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Slow(Duration::from_millis(100)));
    let ports = [(); INSTANCES].map(|()| (free_port(), free_port()));
    let mut fleet = Fleet::nobody();
    for (smtp, http) in &ports {
        let setup = fleet::on(Setup::resend(&fake), &fleet.url())
            .set("smtp.listen", &format!("127.0.0.1:{smtp}"))
            .set("smtp.proxy_networks", "127.0.0.1/32")
            .set("http.listen", &format!("127.0.0.1:{http}"));
        fleet.join(setup).await;
    }
    let balancer = Balancer::before(&ports).await;
    let addresses: Addresses = Arc::new(Mutex::new(vec![Some(balancer.address)]));
    let ledger = Ledger::default();
    // As most apps do it: a connection for each mail.
    let plan = Plan { mails_per_connection: 1, ..Plan::new("rolling", seed) };
    let load = Load::begin(&addresses, &ledger, &plan);
    for number in 0..INSTANCES {
        let before = ledger.count();
        wait::until_true("mail is taken", || ledger.count() > before + 20).await;
        fleet.stop(number).await;
        fleet.start(number).await;
        fleet.api(number).until_provider_is("resend", "up").await;
    }
    let before = ledger.count();
    wait::until_true("mail is taken", || ledger.count() > before + 20).await;
    load.end().await;
    fleet.settle(&context).await;
    ledger::exactly_once(&ledger, &fake, &context);
    let deferred = ledger.deferred();
    assert!(deferred.is_empty(), "{context}: {deferred:?}");
    assert_eq!(ledger.broken(), 0, "{context}: connections broke\n{}", balancer.log());
}
