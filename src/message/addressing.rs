//! Who of the envelope is visible in which call.

use std::collections::{HashMap, HashSet};

use super::{Address, Addressing, Email, Mailbox};

impl Addressing {
    /// Splits the recipients that are still to be served into calls of at most `max` recipients.
    ///
    /// Visible To and Cc are the header's addresses that are in `pending`, in their order, with their display names; the
    /// rest is hidden. With `needs_visible` (structured APIs) a call in which nothing visible is left serves one
    /// recipient only. The same input gives the same calls, and when the first of them are taken out of `pending`,
    /// the others stay as they were.
    ///
    /// Addresses are those of the envelope, letter by letter. One that stands in `pending` twice is served once, in
    /// its first spelling. With `needs_visible`, `to` is never empty: a recipient alone stands there, and where only Cc
    /// is visible its first address does, because these APIs refuse a call without it.
    pub fn split(email: &Email, pending: &[Address], max: usize, needs_visible: bool) -> Vec<Self> {
        let max = max.max(1);
        let (visible, hidden) = sorted(email, pending);

        let mut calls: Vec<Self> = visible.chunks(max).map(Self::showing).collect();
        let room = calls.last().map_or(0, |last| max - last.recipients().count());
        let (fitting, rest) = hidden.split_at(room.min(hidden.len()));
        if let Some(last) = calls.last_mut() {
            last.bcc.extend(fitting.iter().copied().cloned());
        }
        if needs_visible {
            for call in &mut calls {
                if call.to.is_empty() && !call.cc.is_empty() {
                    call.to.push(call.cc.remove(0));
                }
            }
            calls.extend(rest.iter().map(|address| Self::alone(address)));
        } else {
            calls.extend(rest.chunks(max).map(Self::hiding));
        }
        calls
    }

    fn showing(chunk: &[Visible]) -> Self {
        let of = |place: Place| {
            let mine = chunk.iter().filter(move |it| it.place == place);
            mine.map(|it| it.mailbox.clone()).collect()
        };
        Self { to: of(Place::To), cc: of(Place::Cc), bcc: Vec::new() }
    }

    fn hiding(chunk: &[&Address]) -> Self {
        Self { bcc: chunk.iter().copied().cloned().collect(), ..Self::default() }
    }

    fn alone(address: &Address) -> Self {
        let mailbox = Mailbox { name: String::new(), address: address.as_str().to_owned() };
        Self { to: vec![mailbox], ..Self::default() }
    }

    /// Every recipient of this call.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        let visible = self.to.iter().chain(&self.cc).map(|mailbox| mailbox.address.as_str());
        visible.chain(self.bcc.iter().map(Address::as_str))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    To,
    Cc,
}

/// A recipient that the message shows.
struct Visible {
    place: Place,
    mailbox: Mailbox,
}

/// The pending recipients, each once: those that the header shows in its order, the others in the envelope's.
fn sorted<'a>(email: &Email, pending: &'a [Address]) -> (Vec<Visible>, Vec<&'a Address>) {
    let mut distinct: Vec<(String, &Address)> = Vec::with_capacity(pending.len());
    let mut open: HashMap<String, &Address> = HashMap::with_capacity(pending.len());
    for address in pending {
        let key = address.mailbox_key();
        if !open.contains_key(&key) {
            open.insert(key.clone(), address);
            distinct.push((key, address));
        }
    }

    let mut shown = HashSet::new();
    let mut visible = Vec::new();
    let to = email.to.iter().map(|mailbox| (Place::To, mailbox));
    let cc = email.cc.iter().map(|mailbox| (Place::Cc, mailbox));
    for (place, mailbox) in to.chain(cc) {
        let key = Address::key_of(&mailbox.address);
        if let Some(address) = open.remove(&key) {
            let address = address.as_str().to_owned();
            visible
                .push(Visible { place, mailbox: Mailbox { name: mailbox.name.clone(), address } });
            shown.insert(key);
        }
    }
    let hidden = distinct.into_iter().filter(|(key, _)| !shown.contains(key));
    (visible, hidden.map(|(_, address)| address).collect())
}
