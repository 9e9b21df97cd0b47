use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn read(text: &str) -> DatabaseUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<DatabaseUrl>().expect_err(text)
}

fn places(text: &str) -> Vec<String> {
    read(text).hosts.iter().map(ToString::to_string).collect()
}

#[test]
fn the_usual_url() {
    let url = read("postgres://mail:s%3Acret@db.example/queue?sslmode=verify-full");
    assert_eq!(url.user.as_deref(), Some("mail"));
    assert_eq!(url.password.expose(), "s:cret");
    assert_eq!(url.database.as_deref(), Some("queue"));
    assert_eq!(url.tls.mode, SslMode::VerifyFull);
    assert_eq!(url.target, SessionTarget::ReadWrite, "a queue is written");
    assert_eq!(url.connect_timeout, Duration::from_secs(5));
    assert_eq!(url.to_string(), "postgres://mail:***@db.example/queue?sslmode=verify-full");
}

#[test]
fn hosts_come_in_every_form() {
    for (text, expected) in [
        ("postgres://a/x", vec!["a:5432"]),
        ("postgresql://a:1,b:2/x", vec!["a:1", "b:2"]),
        ("postgres://a:1,b/x", vec!["a:1", "b:5432"]),
        ("postgres://[2001:db8::1]:5,10.0.0.1/x", vec!["[2001:db8::1]:5", "10.0.0.1:5432"]),
        ("postgres:///x?host=a,b&port=6", vec!["a:6", "b:6"]),
        ("postgres:///x?host=a,b&port=6,7", vec!["a:6", "b:7"]),
        ("postgres:///x?host=/run/pg", vec!["/run/pg/.s.PGSQL.5432"]),
        ("postgres://%2Frun%2Fpg:6/x", vec!["/run/pg/.s.PGSQL.6"]),
        ("postgres:///x", vec!["/var/run/postgresql/.s.PGSQL.5432"]),
        ("postgres://u@/x", vec!["/var/run/postgresql/.s.PGSQL.5432"]),
        ("postgres:///x?hostaddr=10.0.0.1,10.0.0.2", vec!["10.0.0.1:5432", "10.0.0.2:5432"]),
    ] {
        assert_eq!(places(text), expected, "{text}");
    }
    let url = read("postgres://db.example/x?hostaddr=10.0.0.1");
    let address = Some("10.0.0.1".parse().unwrap());
    let place = DatabasePlace::Network { name: "db.example".to_owned(), address };
    assert_eq!(url.hosts, [DatabaseHost { place, port: 5432 }]);
}

#[test]
fn what_is_not_there_is_left_to_the_system() {
    let url = read("postgres://");
    assert_eq!((url.user, url.database, url.password.is_empty()), (None, None, true));
}

#[test]
fn parameters_win_over_the_place() {
    let url = read("postgres://a:b@c/d?user=e&password=f&dbname=g");
    assert_eq!((url.user.as_deref(), url.database.as_deref()), (Some("e"), Some("g")));
    assert_eq!(url.password.expose(), "f");
    assert_eq!(url.to_string(), "postgres://a:***@c/d?user=e&password=***&dbname=g");
}

#[test]
fn encryption_is_understood_as_libpq_does() {
    let tls = |query: &str| read(&format!("postgres://h/x?{query}")).tls;
    for (query, mode, verifies) in [
        ("", SslMode::Prefer, false),
        ("sslmode=disable", SslMode::Disable, false),
        ("sslmode=allow", SslMode::Allow, false),
        ("sslmode=require", SslMode::Require, false),
        ("ssl=true", SslMode::Require, false),
        ("sslmode=require&sslrootcert=ca.pem", SslMode::Require, true),
        ("sslmode=verify-ca", SslMode::VerifyCa, true),
        ("sslrootcert=system", SslMode::VerifyFull, true),
        ("sslmode=verify-full&sslrootcert=system", SslMode::VerifyFull, true),
    ] {
        assert_eq!((tls(query).mode, tls(query).verifies()), (mode, verifies), "{query}");
    }
    assert_eq!(tls("sslrootcert=/etc/ca.pem").roots, SslRoots::File("/etc/ca.pem".into()));
    let own = tls("sslcert=/a%20b.pem&sslkey=/c.key");
    assert_eq!(own.certificate, Some(PathBuf::from("/a b.pem")));
    for (query, words) in [
        ("sslmode=verify_full", "expected one of disable, allow, prefer, require, verify-ca"),
        ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("sslcert=a.pem", "belong together"),
        ("sslnegotiation=direct", "needs sslmode=require"),
        ("channel_binding=require", "needs sslmode=require"),
    ] {
        let said = refused(&format!("postgres://h/x?{query}"));
        assert!(said.contains(words), "{query}: {said}");
    }
}

#[test]
fn other_parameters() {
    let url = read(
        "postgres://h/x?connect_timeout=3&tcp_user_timeout=2500&keepalives_idle=9&keepalives_interval=4&\
         keepalives_count=2&application_name=relay&options=-c%20search_path%3Dmail&target_session_attrs=primary&\
         client_encoding=UTF8&gssencmode=prefer&channel_binding=prefer",
    );
    assert_eq!(url.connect_timeout, Duration::from_secs(3));
    assert_eq!(url.tcp_user_timeout, Duration::from_millis(2500));
    let keepalive = url.keepalive.unwrap();
    assert_eq!((keepalive.idle, keepalive.count), (Duration::from_secs(9), 2));
    assert_eq!(
        (url.application_name.as_str(), url.options.as_str()),
        ("relay", "-c search_path=mail")
    );
    assert_eq!(url.target, SessionTarget::Primary);
    assert_eq!(read("postgres://h/x?keepalives=0").keepalive, None);
    assert_eq!(read("postgres://h/x?target_session_attrs=any").target, SessionTarget::Any);
}

#[test]
fn what_is_not_understood_is_refused_with_advice() {
    for (text, words) in [
        ("postgres:db", "names no server"),
        ("mysql://h/x", "does not start with postgres://"),
        ("postgres://h/x?sslmod=require", "did you mean sslmode?"),
        ("postgres://h/x?taget_session_attrs=any", "did you mean target_session_attrs?"),
        ("postgres://h/x?passfile=/x", "queue.password_file"),
        ("postgres://h/x?pgbouncer=true", "unknown parameter \"pgbouncer\""),
        ("postgres://h/x?target_session_attrs=standby", "a queue needs read-write"),
        ("postgres://h/x?connect_timeout=0", "from 1 to 60"),
        ("postgres://h:0/x", "a port is no number"),
        ("postgres://h:70000/x", "a port is no number"),
        ("postgres://a:1,b:2,c:3/x?port=1,2", "2 ports for 3 hosts"),
        ("postgres://a,b/x?hostaddr=10.0.0.1", "1 addresses for 2 hosts"),
        ("postgres://h/x?hostaddr=db", "no IP address"),
        ("postgres://h/x?sslmode", "a parameter without ="),
        ("postgres://h/x#y", "%23"),
        ("postgres://h/a%0Ab", "not encoded"),
    ] {
        let said = refused(text);
        assert!(said.contains(words), "{text}: {said}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("h{number}")).collect();
    assert!(refused(&format!("postgres://{}/x", many.join(","))).contains("more than 16"));
}

#[test]
fn a_password_is_never_repeated() {
    for text in [
        "postgres://u:hunter2%@h/x",
        "postgres://u:hun/ter2@h/x?sslmod=1",
        "postgres://u:hunter2?x@h/x",
        "postgres://u:x?hunter2=y@h/x",
        "postgres://u:hunter2#@h/x",
        "postgres://u:hunter2[@h/x?sslmode=1",
        "postgres://u@h:hunter2/x",
        "postgres://hunter2:@@:h/x",
        "postgres://h/x?password=hunter2%&a=b",
        "postgres://h/x?password=hunter2&a=b",
    ] {
        let said = refused(text);
        assert!(!said.contains("hunter2") && !said.contains("ter2"), "{text}: {said}");
    }
    let url = read("postgres://u:hunter2@h/x?password=hunter2");
    assert!(!format!("{url} {url:?}").contains("hunter2"));
    // Slashes and signs that nobody has encoded are taken as they were meant.
    assert_eq!(read("postgres://u:a/b@c@h/x").password.expose(), "a/b@c");
}
