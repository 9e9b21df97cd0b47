//! From text to its parts. What cannot be read is never repeated: it may be a piece of a password.

use std::str::FromStr;

use super::parameters::Parameters;
use super::{DatabaseHost, DatabasePlace, DatabaseUrl};
use crate::secret::Secret;

/// Where Debian's servers have their sockets.
const SOCKETS: &str = "/var/run/postgresql";
const PORT: u16 = 5432;
/// The most servers that are tried.
const HOSTS_MAX: usize = 16;

impl FromStr for DatabaseUrl {
    type Err = String;

    /// `postgres://[user[:password]@][host[:port][,...]][/database][?parameter=value[&...]]`
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(
            "names no server; expected \"postgres://user@host/database\", a socket as ?host=/var/run/postgresql",
        )?;
        if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err("does not start with postgres://".to_owned());
        }
        if rest.contains('#') {
            return Err("contains #, which a URL writes as %23".to_owned());
        }
        let (before, query) = rest.split_once('?').map_or((rest, ""), |(a, b)| (a, b));
        if query.contains('@') {
            return Err("has @ behind the question mark, where it is written %40; a question mark in a password is %3F".to_owned());
        }
        // A password may hold a slash that nobody has encoded; what decides is the @.
        let (login, place) = before.rsplit_once('@').map_or((None, before), |(a, b)| (Some(a), b));
        let (hosts, database) = place.split_once('/').map_or((place, ""), |(a, b)| (a, b));
        let (user, password) = match login {
            Some(login) => login.split_once(':').map_or((login, None), |(a, b)| (a, Some(b))),
            None => ("", None),
        };
        if user.contains('/') {
            return Err("has its user behind a slash; encode @ as %40 where it belongs to a name"
                .to_owned());
        }
        let given = Parameters::read(query)?;

        let user_named = given.user.clone().or(named(user, "the user")?);
        let password = match (&given.password, password) {
            (Some(own), _) => own.clone(),
            (None, Some(text)) => Secret::new(decode(text).ok_or(
                "the password is not encoded as in a URL: a percent sign in it is written %25",
            )?),
            (None, None) => Secret::default(),
        };
        let database = given.database.clone().or(named(database, "the database")?);
        let stars = if login.is_some_and(|login| login.contains(':')) { ":***" } else { "" };
        let at = if login.is_some() { "@" } else { "" };
        let shown = format!("{scheme}://{user}{stars}{at}{place}{}", given.shown);
        Ok(Self {
            hosts: all_hosts(hosts, &given)?,
            user: user_named,
            password,
            database,
            tls: given.tls()?,
            target: given.target,
            connect_timeout: given.connect_timeout,
            tcp_user_timeout: given.tcp_user_timeout,
            keepalive: given.keepalive(),
            application_name: given.application_name,
            options: given.options,
            channel_binding: given.channel_binding,
            shown,
        })
    }
}

/// Undoes the encoding of a URL; `None`: it is not one, or hides a NUL.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digit = |it: Option<u8>| char::from(it?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

fn named(text: &str, what: &str) -> Result<Option<String>, String> {
    match decode(text) {
        Some(name) if name.is_empty() => Ok(None),
        Some(name) => Ok(Some(name)),
        None => Err(format!("{what} is not encoded as in a URL")),
    }
}

/// The servers of the URL's own place, or of `host=` and `hostaddr=`, with their ports.
fn all_hosts(place: &str, given: &Parameters) -> Result<Vec<DatabaseHost>, String> {
    let mut names: Vec<String> = Vec::new();
    let mut ports: Vec<String> = Vec::new();
    for item in place.split(',').filter(|_| !place.is_empty()) {
        let (name, port) = host_and_port(item)?;
        names.push(name);
        ports.push(port);
    }
    if let Some(list) = &given.host {
        names = list.split(',').map(str::to_owned).collect();
    }
    let addresses: Vec<&str> =
        given.address.as_deref().map_or_else(Vec::new, |list| list.split(',').collect());
    if names.is_empty() {
        // A name that is nowhere: the addresses are all that is known.
        names = vec![String::new(); addresses.len().max(1)];
    }
    if !addresses.is_empty() && addresses.len() != names.len() {
        return Err(format!(
            "hostaddr has {} addresses for {} hosts",
            addresses.len(),
            names.len()
        ));
    }
    if let Some(list) = &given.port {
        ports = list.split(',').map(str::to_owned).collect();
    }
    // One port may be that of all.
    if ports.len() > 1 && ports.len() != names.len() {
        return Err(format!("has {} ports for {} hosts", ports.len(), names.len()));
    }
    if names.len() > HOSTS_MAX {
        return Err(format!("has {} hosts, more than {HOSTS_MAX}", names.len()));
    }
    let one = |(at, name): (usize, &String)| {
        let port = ports.get(at).or(ports.first()).map_or("", String::as_str);
        let port = match port.trim() {
            "" => PORT,
            port => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or("a port is no number from 1 to 65535")?,
        };
        let address = addresses.get(at).map(|it| it.trim()).filter(|it| !it.is_empty());
        let address =
            address.map(|it| it.parse().map_err(|_| "an item of hostaddr is no IP address"));
        let place = host(name.trim(), address.transpose()?);
        Ok(DatabaseHost { place, port })
    };
    names.iter().enumerate().map(one).collect()
}

fn host(name: &str, address: Option<std::net::IpAddr>) -> DatabasePlace {
    match (name, address) {
        ("", None) => DatabasePlace::Socket(SOCKETS.into()),
        ("", Some(address)) => {
            DatabasePlace::Network { name: address.to_string(), address: Some(address) }
        }
        (folder, _) if folder.starts_with('/') => DatabasePlace::Socket(folder.into()),
        (name, address) => DatabasePlace::Network { name: name.to_owned(), address },
    }
}

/// `name`, `name:port`, `[::1]:port`.
fn host_and_port(item: &str) -> Result<(String, String), String> {
    const FAULT: &str = "names a host that cannot be read; a password with @, /, ? or : in it is written with %40, %2F, %3F and %3A";

    let (name, port) = match item.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(FAULT)?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(FAULT.to_owned());
            }
            (address, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or(FAULT)?)
        }
        None => item.split_once(':').unwrap_or((item, "")),
    };
    let name = decode(name).ok_or(FAULT)?;
    let odd = |c: char| !(c.is_alphanumeric() || "-._/:".contains(c));
    if name.contains(odd) || port.contains(|c: char| !c.is_ascii_digit()) {
        return Err(FAULT.to_owned());
    }
    Ok((name, port.to_owned()))
}
