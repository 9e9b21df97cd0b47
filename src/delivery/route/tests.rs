use bytes::Bytes;

use super::*;
use crate::clock::Timestamp;
use crate::config::{Config, LoadOptions, Purpose};
use crate::message::{Envelope, IndexFields, QueueId};

/// The routes of a configuration file, as an operator would write them.
fn routing(toml: &str, users: &[(&str, &str)]) -> Routing {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mailferry.toml");
    let providers = "[providers.resend]\napi_key = 're_1'\n[providers.ses]\nregion = 'eu-west-1'\n\
                     access_key_id = 'a'\nsecret_access_key = 'b'\n\
                     [[smtp.users]]\nusername = 'lemmy'\npassword = 'x'\n\
                     [[smtp.users]]\nusername = 'ghost'\npassword = 'x'\n";
    std::fs::write(&file, format!("{providers}{toml}")).unwrap();
    let options = LoadOptions {
        file: Some(file),
        candidates: Vec::new(),
        environment: Vec::new(),
        purpose: Purpose::Serve,
    };
    let config = Config::load(&options).unwrap().config;
    let users = users.iter().map(|(user, route)| ((*user).to_owned(), (*route).to_owned()));
    Routing::new(config.delivery.providers, config.routes, users.collect())
}

fn message(sender: &str, user: Option<&str>, header: &str, recipients: &[&str]) -> Message {
    Message {
        id: QueueId::from_bytes([1; 16]),
        received_at: Timestamp::UNIX_EPOCH,
        envelope: Envelope {
            sender: (!sender.is_empty()).then(|| sender.parse().unwrap()),
            recipients: recipients.iter().map(|it| it.parse().unwrap()).collect(),
            smtp_utf8: false,
            dsn: None,
        },
        raw: Bytes::from(format!("{header}From: x@example.org\r\n\r\nX-Kind: bulk\r\n")),
        index: IndexFields::default(),
        user: user.map(str::to_owned),
        account: None,
        may_steer: true,
    }
}

/// The names of the ways of a message's recipients.
fn ways(routing: &Routing, message: &Message) -> Vec<String> {
    let recipients = message.envelope.recipients.iter();
    let mut parts = routing.parts(message, recipients.clone());
    let all = parts.all_routes();
    let way = |at: usize| {
        let route = all.iter().find(|route| {
            parts.turn_to(**route);
            parts.is_now(at)
        });
        routing.key(&[*route.unwrap()]).name().to_owned()
    };
    (0..recipients.count()).map(way).collect()
}

const ROUTES: &str = "\
[[routes]]
name = 'notices'
providers = 'resend'
sender = '<>'
[[routes]]
name = 'news'
providers = 'ses'
sender_domain = ['news.example.org', '*.bulk.example']
[[routes]]
name = 'ada'
providers = 'ses'
sender = ['Ada@example.org', '*@example.kr']
[[routes]]
name = 'kind'
providers = 'ses'
header = { name = 'x-kind', value = '*벌크*' }
[[routes]]
name = 'both'
providers = 'ses'
user = 'ghost'
recipient_domain = 'gmail.com'
[[routes]]
name = 'korea'
providers = ['ses', 'resend']
recipient_domain = ['*.kr', '예시.한국']
";

#[test]
fn the_first_route_whose_conditions_all_hold_is_taken() {
    let routing = routing(ROUTES, &[("lemmy", "korea")]);
    let encoded = "X-Kind: =?utf-8?B?6riw7YOAIOuyjO2BrCDrqZTsnbw=?=\r\n";
    for (sender, user, header, recipient, way) in [
        ("", None, "", "bob@example.net", "notices"),
        ("", None, "", "bob@naver.kr", "notices"),
        ("a@NEWS.example.org", None, "", "bob@example.net", "news"),
        ("a@x.bulk.example", None, "", "bob@example.net", "news"),
        ("a@bulk.example", None, "", "bob@example.net", "default"),
        ("Ada@Example.ORG", None, "", "bob@example.net", "ada"),
        ("ada@example.org", None, "", "bob@example.net", "default"),
        ("x@example.kr", None, "", "bob@example.net", "ada"),
        ("x@example.net", None, encoded, "bob@example.net", "kind"),
        ("x@example.net", None, "X-Kind: bulk\r\n", "bob@example.net", "default"),
        ("x@example.net", Some("ghost"), "", "bob@gmail.com", "both"),
        ("x@example.net", None, "", "bob@gmail.com", "default"),
        ("x@example.net", Some("ghost"), "", "bob@Mail.Naver.KR", "korea"),
        ("x@example.net", Some("ghost"), "", "bob@mail.naver.kr", "korea"),
        ("x@example.net", None, "", "bob@예시.한국", "korea"),
        ("x@example.net", None, "", "bob@xn--vv4b11d.xn--3e0b707e", "korea"),
        // A user's own route comes before all.
        ("", Some("lemmy"), "", "bob@example.net", "korea"),
    ] {
        let message = message(sender, user, header, &[recipient]);
        assert_eq!(ways(&routing, &message), [way], "{sender} {user:?} {recipient}");
    }
}

#[test]
fn recipients_take_their_own_routes() {
    let routing = routing(ROUTES, &[]);
    let recipients = ["a@mail.kr", "b@gmail.com", "c@mail.kr", "d@example.net"];
    let ghost = message("x@example.net", Some("ghost"), "", &recipients);
    assert_eq!(ways(&routing, &ghost), ["korea", "both", "korea", "default"]);
    let news = message("x@news.example.org", Some("ghost"), "", &recipients);
    assert_eq!(ways(&routing, &news), ["news"; 4]);
    let same = message("x@example.net", None, "", &["a@mail.kr", "c@other.kr"]);
    assert!(routing.parts(&same, same.envelope.recipients.iter()).is_one());
    assert_eq!(routing.key(&[0, 5, 6]).name(), "default+both+korea");
    assert_eq!(routing.key(&[0, 1, 2, 3]).name(), "default+notices+news+…");
    assert_ne!(routing.key(&[0, 1, 2, 3]), routing.key(&[0, 1, 2, 4]));
    assert_eq!(routing.key(&[]), WayKey::default());
}

#[test]
fn a_route_without_conditions_is_for_everything_or_for_those_who_name_it() {
    let catch_all = "[[routes]]\nname = 'a'\nproviders = 'ses'\nuser = 'ghost'\n\
                     [[routes]]\nname = 'default'\nproviders = 'ses'\n";
    let routing_of = |users| routing(catch_all, users);
    let plain = message("x@example.net", None, "", &["a@mail.kr"]);
    let of_ghost = message("x@example.net", Some("ghost"), "", &["a@mail.kr"]);
    let providers = |routing: &Routing, message: &Message| {
        let route = routing.parts(message, message.envelope.recipients.iter()).now();
        routing.orders().nth(route).unwrap().join(" ")
    };
    let all = routing_of(&[]);
    assert_eq!(providers(&all, &plain), "ses");
    assert_eq!(ways(&all, &of_ghost), ["a"]);
    // It may be called like the one that delivery.providers make, and is another way.
    assert_ne!(all.key(&[DEFAULT]), all.key(&[2]));
    let theirs = routing_of(&[("lemmy", "default")]);
    assert_eq!(providers(&theirs, &plain), "resend ses");
    let of_lemmy = message("x@example.net", Some("lemmy"), "", &["a@mail.kr"]);
    assert_eq!(providers(&theirs, &of_lemmy), "ses");
}

#[test]
fn the_names_of_ways_change_with_the_configuration_and_not_with_a_restart() {
    let key = |toml: &str, users: &[(&str, &str)]| routing(toml, users).key(&[DEFAULT]);
    assert_eq!(key(ROUTES, &[]), key(ROUTES, &[]));
    assert_ne!(key(ROUTES, &[]), key("", &[]));
    assert_ne!(key(ROUTES, &[]), key(&ROUTES.replace("gmail.com", "gmail.net"), &[]));
    assert_ne!(key(ROUTES, &[]), key(ROUTES, &[("lemmy", "korea")]));
    assert_ne!(key("", &[]), key("[delivery]\nproviders = ['ses', 'resend']\n", &[]));
}
