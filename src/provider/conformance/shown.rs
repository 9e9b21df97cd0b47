//! What is shown of a request is what the service gets.

use std::collections::BTreeMap;

use super::*;

/// Fields whose values are secret or of the moment.
const MASKED: [&str; 7] = [
    "authorization",
    "api-key",
    "x-postmark-server-token",
    "webhook-signature",
    "webhook-timestamp",
    "x-amz-date",
    "x-amz-security-token",
];

fn fields<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Option<&'a str>> {
    let field = |(name, value): (&str, &'a str)| {
        let name = name.to_ascii_lowercase();
        let value = (!MASKED.contains(&name.as_str())).then_some(value.trim());
        (name, value)
    };
    pairs.map(field).collect()
}

#[tokio::test]
async fn the_request_is_shown_as_it_arrives_without_its_secrets() {
    for kind in KINDS {
        for sample in [Sample::plain(), Sample::rich()] {
            let mut fake = Fake::start([success(kind)]).await;
            let mut config = config_at(kind, &fake.url);
            config.session_token = crate::secret::Secret::new("topsecret-session");
            let provider = made(&config);
            let (call, key) = call(&*provider, &sample);
            let shown = provider.show(&call, &key).await.unwrap();
            assert!(fake.is_quiet(), "{kind}: to show asks nobody");
            provider.send(&call, &key).await.unwrap();
            let seen = fake.seen().await;

            assert_eq!(shown.body, seen.body, "{kind}");
            let (line, rest) = seen.head.split_once("\r\n").unwrap();
            let (method, target) = line.split_once(' ').unwrap();
            let target = target.strip_suffix(" HTTP/1.1").unwrap();
            assert_eq!(shown.method, method, "{kind}");
            assert_eq!(shown.url, fake.url.join(target).unwrap().as_str(), "{kind}");
            let arrived = fields(rest.lines().filter_map(|line| line.split_once(':')));
            let said = fields(shown.headers.iter().map(|(name, value)| (&**name, &**value)));
            assert_eq!(said, arrived, "{kind}");
            assert!(shown.headers.iter().any(|(_, value)| value.ends_with("***")), "{kind}");
            let text = format!("{:?}", shown.headers);
            assert!(!text.contains("topsecret"), "{kind}: {text}");
            let signature = arrived.keys().any(|name| name.ends_with("signature"));
            let timed = signature || kind == ProviderKind::Ses;
            assert_eq!(shown.varies.is_some(), timed, "{kind}");
        }
    }
}
