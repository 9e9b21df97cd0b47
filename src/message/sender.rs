//! The From rules of `[sender]`.

use super::address::canonical_domain;
use super::{Address, Email, Envelope, Mailbox};
use crate::config::{Rewrite, SenderConfig};

impl Email {
    /// Applies `sender.rewrite`: sets `from`, moves an old From to `reply_to`, and notes it in `from_rewritten`.
    ///
    /// A display name that the app wrote stays; `sender.name` is for mail without one. A Reply-To that the app wrote
    /// stays as well. Where there is no address to write, From stays as it is.
    pub fn apply_sender_rules(&mut self, rules: &SenderConfig, envelope: &Envelope) {
        let rewrite = match rules.rewrite {
            Rewrite::Never => false,
            Rewrite::Missing => self.from.is_empty(),
            Rewrite::Foreign => self.from.is_empty() || !self.from.iter().all(|it| own(it, rules)),
            Rewrite::Always => !matches!(&self.from[..], [one] if is_default(one, rules)),
        };
        if !rewrite {
            return;
        }
        // A missing From needs some address; one that is there only gives way to a chosen one.
        let fallback = envelope.sender.as_ref().filter(|_| self.from.is_empty());
        let Some(address) = rules.address.as_ref().or(fallback) else { return };

        let name = match self.from.first() {
            Some(author) if !author.name.is_empty() => author.name.clone(),
            Some(_) | None => rules.name.clone(),
        };
        let author = Mailbox { name, address: address.as_str().to_owned() };
        let old = std::mem::replace(&mut self.from, vec![author]);
        if self.reply_to.is_empty() {
            self.reply_to = old;
        }
        // The Sender field speaks for the author that was replaced; of a foreign domain it would be refused as well.
        self.sender = self.sender.take().filter(|sender| own(sender, rules));
        self.from_rewritten = true;
    }
}

/// True for an address of a domain that the provider has verified.
fn own(mailbox: &Mailbox, rules: &SenderConfig) -> bool {
    let Some((_, domain)) = mailbox.address.rsplit_once('@') else { return false };
    let domain = canonical_domain(domain);
    let default = rules.address.as_ref().map(Address::domain).filter(|_| rules.domains.is_empty());
    let mut domains = rules.domains.iter().map(String::as_str).chain(default);
    domains.any(|known| canonical_domain(known) == domain)
}

fn is_default(mailbox: &Mailbox, rules: &SenderConfig) -> bool {
    rules.address.as_ref().is_some_and(|address| address.same_mailbox(&mailbox.address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mailbox(name: &str, address: &str) -> Mailbox {
        Mailbox { name: name.to_owned(), address: address.to_owned() }
    }

    fn rules(rewrite: Rewrite) -> SenderConfig {
        SenderConfig {
            address: Some("noreply@oratio.space".parse().unwrap()),
            name: "Oratio".to_owned(),
            domains: vec![],
            rewrite,
        }
    }

    fn applied(from: &[Mailbox], rules: &SenderConfig) -> Email {
        let mut email = Email { from: from.to_vec(), ..Email::default() };
        let sender = Some("bounce@app.example".parse().unwrap());
        email.apply_sender_rules(rules, &Envelope { sender, ..Envelope::default() });
        email
    }

    #[test]
    fn a_missing_from_is_filled_in_except_with_never() {
        for rewrite in [Rewrite::Missing, Rewrite::Foreign, Rewrite::Always] {
            let email = applied(&[], &rules(rewrite));
            assert_eq!(email.from, [mailbox("Oratio", "noreply@oratio.space")]);
            assert!(email.from_rewritten);
            assert_eq!(email.reply_to, []);
        }
        let email = applied(&[], &rules(Rewrite::Never));
        assert_eq!((email.from.len(), email.from_rewritten), (0, false));
    }

    #[test]
    fn without_an_address_a_missing_from_is_the_envelope_sender() {
        let rules = SenderConfig { rewrite: Rewrite::Foreign, ..SenderConfig::default() };
        assert_eq!(applied(&[], &rules).from, [mailbox("", "bounce@app.example")]);
        let foreign = [mailbox("Ada", "ada@gmail.com")];
        let email = applied(&foreign, &rules);
        assert_eq!((&email.from[..], email.from_rewritten), (&foreign[..], false));

        let mut email = Email::default();
        email.apply_sender_rules(&rules, &Envelope::default());
        assert!(!email.from_rewritten);
    }

    #[test]
    fn a_foreign_from_becomes_reply_to_and_keeps_its_name() {
        let email = applied(&[mailbox("Ada", "ada@gmail.com")], &rules(Rewrite::Foreign));
        assert_eq!(email.from, [mailbox("Ada", "noreply@oratio.space")]);
        assert_eq!(email.reply_to, [mailbox("Ada", "ada@gmail.com")]);

        let own = [mailbox("Ada", "ada@ORATIO.space")];
        assert_eq!(applied(&own, &rules(Rewrite::Foreign)).from, own);
        assert_eq!(applied(&own, &rules(Rewrite::Missing)).from, own);

        let listed =
            SenderConfig { domains: vec!["예시.한국".to_owned()], ..rules(Rewrite::Foreign) };
        assert!(!applied(&[mailbox("", "a@xn--vv4b11d.xn--3e0b707e")], &listed).from_rewritten);
        assert!(applied(&own, &listed).from_rewritten);
    }

    #[test]
    fn always_replaces_all_but_the_default_sender() {
        let email = applied(&[mailbox("", "ada@oratio.space")], &rules(Rewrite::Always));
        assert_eq!(email.from, [mailbox("Oratio", "noreply@oratio.space")]);
        assert!(
            !applied(&[mailbox("X", "noreply@oratio.space")], &rules(Rewrite::Always))
                .from_rewritten
        );
    }

    #[test]
    fn a_reply_to_of_the_app_stays_and_a_foreign_sender_goes() {
        let mut email = Email {
            from: vec![mailbox("", "ada@gmail.com")],
            reply_to: vec![mailbox("", "list@x.org")],
            sender: Some(mailbox("", "ada@gmail.com")),
            ..Email::default()
        };
        email.apply_sender_rules(&rules(Rewrite::Foreign), &Envelope::default());
        assert_eq!(email.reply_to, [mailbox("", "list@x.org")]);
        assert_eq!(email.sender, None);
    }

    proptest! {
        #[test]
        fn what_leaves_is_from_the_own_domains_and_answers_go_where_they_went(
            authors in prop::collection::vec(("[a-c]{0,2}", "[ab]@(oratio\\.space|ORATIO\\.space|own\\.example|gmail\\.com)"), 0..4),
            replies in prop::collection::vec("[ab]@gmail\\.com", 0..2),
            always: bool,
        ) {
            let rewrite = if always { Rewrite::Always } else { Rewrite::Foreign };
            let domains = vec!["oratio.space".to_owned(), "own.example".to_owned()];
            let rules = SenderConfig { domains, ..rules(rewrite) };
            let from: Vec<_> = authors.iter().map(|(name, address)| mailbox(name, address)).collect();
            let reply_to: Vec<_> = replies.iter().map(|it| mailbox("", it)).collect();
            let mut email = Email { from: from.clone(), reply_to: reply_to.clone(), ..Email::default() };
            email.apply_sender_rules(&rules, &Envelope::default());

            prop_assert!(!email.from.is_empty());
            prop_assert!(email.from.iter().all(|it| own(it, &rules)));
            prop_assert!(!always || is_default(&email.from[0], &rules));
            if email.from_rewritten {
                prop_assert_eq!(&email.reply_to, if reply_to.is_empty() { &from } else { &reply_to });
                let name = from.first().map(|it| it.name.as_str()).filter(|it| !it.is_empty());
                prop_assert_eq!(&email.from[0].name, name.unwrap_or("Oratio"));
            } else {
                prop_assert_eq!((&email.from, &email.reply_to), (&from, &reply_to));
            }
        }
    }
}
