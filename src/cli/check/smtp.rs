//! What `mailferry check` says about the SMTP side: who may send, over what, and by which way.

use std::net::SocketAddr;

use super::{Finding, error, is_private, ok, warning};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{
    AuthMode, Config, Layer, Loaded, PasswordForm, RouteConditions, RouteConfig, SmtpConfig,
    UserConfig,
};
use crate::smtp::tls::inspect;

/// Names in one line at the most.
const NAMES_MAX: usize = 5;

pub(super) fn findings(loaded: &Loaded, findings: &mut Vec<Finding>) {
    let config = &loaded.config;
    let smtp = &config.smtp;
    for address in &smtp.listen {
        findings.push(listener(*address, false, smtp));
    }
    for address in &smtp.listen_tls {
        findings.push(listener(*address, true, smtp));
    }
    if !smtp.proxy_networks.is_empty() {
        let networks = smtp.proxy_networks.iter().map(ToString::to_string);
        findings.push(ok(format!(
            "smtp: connections from {} must begin with a PROXY header, and count as those of the address in it",
            list(networks)
        )));
    }
    tls(smtp, SystemClock.now(), findings);
    passwords(loaded, findings);
    for user in &smtp.users {
        findings.push(ok(rights(user, config)));
    }
    for route in &config.routes {
        let (name, order) = (&route.name, route.providers.join(", then "));
        findings.push(ok(format!("route {name}: {order}, {}", takers(route, &smtp.users))));
    }
}

/// Whose mail goes by this route.
fn takers(route: &RouteConfig, users: &[UserConfig]) -> String {
    let named: Vec<&str> = users
        .iter()
        .filter(|user| user.route.as_ref() == Some(&route.name))
        .map(|user| user.username.as_str())
        .collect();
    let RouteConditions { sender, sender_domain, recipient_domain, user, header } =
        &route.conditions;
    let asked = [
        ("sender", !sender.is_empty()),
        ("sender_domain", !sender_domain.is_empty()),
        ("recipient_domain", !recipient_domain.is_empty()),
        ("user", !user.is_empty()),
        ("header", header.is_some()),
    ];
    let asked: Vec<&str> =
        asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(key, _)| key).collect();
    match (asked.is_empty(), named.is_empty()) {
        (true, true) => "for all mail that no route before it takes".to_owned(),
        (true, false) => format!("for mail of {}", named.join(", ")),
        (false, true) => format!("for mail that fits its {}", asked.join(" and ")),
        (false, false) => {
            format!("for mail of {}, and what fits its {}", named.join(", "), asked.join(" and "))
        }
    }
}

fn listener(address: SocketAddr, implicit_tls: bool, smtp: &SmtpConfig) -> Finding {
    let over = if implicit_tls { " (TLS)" } else { "" };
    let secure = implicit_tls || smtp.tls.is_offered();
    let who = who_may_send(smtp, secure);
    // A load balancer on this machine brings others in.
    let alone = address.ip().is_loopback() && smtp.proxy_networks.is_empty();
    if alone {
        return ok(format!("smtp: listens on {address}{over}, for this machine only: {who}"));
    }
    let trust_is_enough = match smtp.auth {
        AuthMode::Auto | AuthMode::Off => true,
        AuthMode::Required | AuthMode::Provider => false,
    };
    let heading = format!("smtp: listens on {address}{over}");
    if let Some(everybody) = smtp.trusted_networks.iter().find(|net| net.prefix_len() == 0) {
        return if trust_is_enough {
            error(format!(
                "{heading} and trusts {everybody}: an open relay. \
                 Name the networks of your apps in smtp.trusted_networks"
            ))
        } else {
            warning(format!(
                "{heading} and trusts {everybody}: {who}, but passwords are taken in plaintext from anybody. \
                 Name the networks of your apps in smtp.trusted_networks"
            ))
        };
    }
    let public = smtp.trusted_networks.iter().filter(|net| !is_private(net));
    let public: Vec<String> = public.map(ToString::to_string).collect();
    if public.is_empty() || !trust_is_enough {
        return ok(format!("{heading}: {who}"));
    }
    warning(format!(
        "{heading}: {who}; that is anybody in the public network {} without a password. \
         Shorten smtp.trusted_networks if those are not all yours",
        list(public)
    ))
}

/// Who may send by a listener that has TLS or not.
fn who_may_send(smtp: &SmtpConfig, secure: bool) -> String {
    let names = || list(smtp.users.iter().map(|user| user.username.clone()));
    let only_trusted = if secure { "" } else { ", from smtp.trusted_networks, as there is no TLS" };
    match (smtp.auth, smtp.users.is_empty()) {
        (AuthMode::Auto, true) => {
            "anybody in smtp.trusted_networks may send (any user name and password are \
                                   taken from there), everybody else is refused"
                .to_owned()
        }
        (AuthMode::Auto, false) if secure => format!(
            "anybody in smtp.trusted_networks may send, everybody else must log in over TLS as {}",
            names()
        ),
        (AuthMode::Auto, false) => format!(
            "anybody in smtp.trusted_networks may send, with or without logging in as {}, everybody else is \
             refused, as there is no TLS",
            names()
        ),
        (AuthMode::Off, _) => {
            "anybody in smtp.trusted_networks may send, everybody else is refused \
                               (smtp.auth is \"off\")"
                .to_owned()
        }
        (AuthMode::Required, _) => {
            format!("whoever logs in as {} may send{only_trusted}", names())
        }
        (AuthMode::Provider, _) => {
            format!("whoever logs in with the key of a provider's account may send{only_trusted}")
        }
    }
}

fn tls(smtp: &SmtpConfig, now: Timestamp, findings: &mut Vec<Finding>) {
    let required = if smtp.tls.required { ", and no mail is taken before TLS" } else { "" };
    match &smtp.tls.files {
        Some(files) => match inspect(files, now) {
            Ok(found) => {
                let (file, day) = (files.certificate.display(), found.expires.strftime("%Y-%m-%d"));
                findings.push(ok(format!("tls: certificate {file}, good until {day}{required}")));
                findings.extend(found.warnings.into_iter().map(warning));
            }
            Err(reason) => findings.push(error(reason.to_string())),
        },
        None if smtp.tls.self_signed => findings.push(ok(format!(
            "tls: with a certificate that is made at the start for {} and localhost{required}; apps that check who \
             answers must be given that file or told to trust it",
            match smtp.hostname.as_str() {
                "" => "this machine's name",
                name => name,
            }
        ))),
        None => findings.push(ok("tls: none (smtp.tls.certificate and smtp.tls.self_signed are not set)")),
    }
}

/// Passwords that whoever sees the configuration file can use.
fn passwords(loaded: &Loaded, findings: &mut Vec<Finding>) {
    let readable = |(number, user): &(usize, &UserConfig)| {
        let key = format!("smtp.users[{number}].password");
        let in_file = loaded
            .effective
            .iter()
            .any(|shown| shown.key == key && shown.layer == Layer::File && !shown.own_file);
        in_file && PasswordForm::of(&user.password) == Ok(PasswordForm::Plain)
    };
    let users = loaded.config.smtp.users.iter().enumerate().filter(readable);
    let names: Vec<String> = users.map(|(_, user)| user.username.clone()).collect();
    if !names.is_empty() {
        findings.push(warning(format!(
            "smtp.users: the password of {} stands in the configuration file as it is. Put there what \
             `mailferry hash-password` makes of it, or use password_file",
            list(names)
        )));
    }
}

/// As whom a user may send, and by which way the mail goes.
fn rights(user: &UserConfig, config: &Config) -> String {
    let name = super::super::output::tidy(&user.username, 60);
    let senders = if user.senders.is_empty() {
        "any address".to_owned()
    } else {
        list(user.senders.iter().map(ToString::to_string))
    };
    let route = config.routes.iter().find(|route| Some(&route.name) == user.route.as_ref());
    let by = match route {
        Some(route) => format!("route {} ({})", route.name, route.providers.join(", ")),
        None if config.routes.iter().any(|it| !it.is_for_its_users(&config.smtp.users)) => {
            "the first route that fits, else delivery.providers".to_owned()
        }
        None => "delivery.providers".to_owned(),
    };
    let orders = if user.provider_options {
        ""
    } else {
        "; its header fields that give a provider orders (X-SMTPAPI, X-PM-Tag ...) do not count"
    };
    format!("user {name}: may send as {senders}, by {by}{orders}")
}

/// A few names, and how many more.
fn list(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> =
        names.into_iter().map(|name| super::super::output::tidy(&name, 60)).collect();
    match names.split_at_checked(NAMES_MAX) {
        Some((first, more)) if !more.is_empty() => {
            format!("{} and {} more", first.join(", "), more.len())
        }
        Some(_) | None => names.join(", "),
    }
}
