//! Who may send, and over what: the rules between the listeners, TLS, AUTH and networks of `[smtp]`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::reader::Reader;
use super::smtp::{AuthMode, SmtpConfig};

const A_CERTIFICATE: &str =
    "set smtp.tls.certificate and smtp.tls.key, or smtp.tls.self_signed = true";

/// Finds what contradicts itself, and warns of what is dangerous.
pub(super) fn check(smtp: &SmtpConfig, reader: &mut Reader) {
    listeners(smtp, reader);
    tls(smtp, reader);
    auth(smtp, reader);
    networks(smtp, reader);
}

fn listeners(smtp: &SmtpConfig, reader: &mut Reader) {
    let faulty = reader.has_fault("smtp.listen") || reader.has_fault("smtp.listen_tls");
    if smtp.listen.is_empty() && smtp.listen_tls.is_empty() && !faulty {
        reader.fault(
            "smtp.listen",
            "names no listener; at least one is needed here or in smtp.listen_tls",
        );
    }
    let mut seen: BTreeSet<SocketAddr> = BTreeSet::new();
    for (path, addresses) in [("smtp.listen", &smtp.listen), ("smtp.listen_tls", &smtp.listen_tls)]
    {
        for address in addresses {
            // Port 0 is another one each time.
            if address.port() == 0 || seen.insert(*address) {
                continue;
            }
            let message = if addresses.iter().filter(|own| *own == address).count() > 1 {
                format!("names {address} twice")
            } else {
                format!(
                    "{address} is in smtp.listen as well; one port speaks either TLS from the first octet or \
                     plaintext with STARTTLS: choose another port, such as 465 for TLS"
                )
            };
            reader.fault(path, message);
        }
    }
}

fn tls(smtp: &SmtpConfig, reader: &mut Reader) {
    // With half of a certificate, the other half is what has to be said.
    let half = ["smtp.tls.certificate", "smtp.tls.key", "smtp.tls.self_signed"];
    if smtp.tls.is_offered() || half.iter().any(|path| reader.has_fault(path)) {
        return;
    }
    if smtp.tls.required {
        reader.fault("smtp.tls.required", format!("needs a certificate: {A_CERTIFICATE}"));
    }
    if !smtp.listen_tls.is_empty() {
        reader.fault("smtp.listen_tls", format!("needs a certificate: {A_CERTIFICATE}"));
    }
}

fn auth(smtp: &SmtpConfig, reader: &mut Reader) {
    let users = !smtp.users.is_empty();
    match (smtp.auth, users) {
        (AuthMode::Required, false) => reader.fault(
            "smtp.auth",
            "\"required\" without users refuses every client: add [[smtp.users]] with username and password",
        ),
        (AuthMode::Provider, true) => reader.fault(
            "smtp.auth",
            "\"provider\" takes the keys of provider accounts, so nobody could log in as one of smtp.users: \
             remove the users, or set \"required\"",
        ),
        (AuthMode::Off, true) => reader.warn(
            "smtp.auth is \"off\", so the users of smtp.users cannot log in; set \"auto\" or \"required\", \
             or remove them",
        ),
        (AuthMode::Auto | AuthMode::Off, false)
        | (AuthMode::Auto | AuthMode::Required, true)
        | (AuthMode::Provider, false) => {}
    }
    let asks = match smtp.auth {
        AuthMode::Auto => users,
        AuthMode::Required | AuthMode::Provider => true,
        AuthMode::Off => false,
    };
    let open: Vec<String> = smtp
        .listen
        .iter()
        .filter(|address| !address.ip().is_loopback())
        .map(ToString::to_string)
        .collect();
    if asks && !smtp.tls.is_offered() && !open.is_empty() {
        reader.warn(format!(
            "smtp.listen: {} has no TLS, and a password from outside smtp.trusted_networks is never taken in \
             plaintext: to let such clients log in, {A_CERTIFICATE}",
            open.join(", ")
        ));
    }
}

fn networks(smtp: &SmtpConfig, reader: &mut Reader) {
    if let Some(all) = smtp.trusted_networks.iter().find(|network| is_everybody(network)) {
        reader.warn(match smtp.auth {
            AuthMode::Auto | AuthMode::Off => format!(
                "OPEN RELAY: smtp.trusted_networks has {all}, so anybody who reaches this server may send by \
                 your account. Name the networks of your apps there, and give others a user (smtp.users)"
            ),
            AuthMode::Required | AuthMode::Provider => format!(
                "smtp.trusted_networks has {all}, so passwords are taken in plaintext from anybody; name the \
                 networks of your apps there"
            ),
        });
    }
    if let Some(all) = smtp.proxy_networks.iter().find(|network| is_everybody(network)) {
        reader.warn(format!(
            "OPEN RELAY: smtp.proxy_networks has {all}, so anybody may write a PROXY header that names an \
             address of smtp.trusted_networks. Name your load balancers there and nobody else"
        ));
    }
}

/// Whether a network is all of the Internet, or so much of it that two or four of its like are.
fn is_everybody(network: &IpNet) -> bool {
    network.prefix_len() <= 3
}
