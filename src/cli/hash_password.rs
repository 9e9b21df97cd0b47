//! `mailferry hash-password`: what to write into `smtp.users.password` instead of the password.

use std::io::{BufRead, IsTerminal, Read, StdinLock};
use std::process::{Command, Stdio};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};

use super::{Exit, complain, out};
use crate::secret::Secret;

/// The least that the OWASP password storage cheat sheet recommends for Argon2id: memory in KiB, passes, lanes. More would
/// be more to compute for every attempt to log in, and a relay is asked often.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// As with `smtp.users.password`, in octets.
const PASSWORD_MAX: usize = 1_024;

/// Reads a password from the terminal, else from standard input, and prints its hash.
pub fn run() -> Result<(), Exit> {
    let asked = if std::io::stdin().is_terminal() {
        ask_twice()
    } else {
        read_all(&mut std::io::stdin().lock())
    };
    let hashed = asked.and_then(|password| hash(&password, salt()?));
    match hashed {
        Ok(hash) => {
            out(&format!("{hash}\n"));
            Ok(())
        }
        Err(reason) => {
            complain(&format!("mailferry: {reason}\n"));
            Err(Exit::Failed)
        }
    }
}

/// The PHC string of the password's Argon2id hash.
fn hash(password: &Secret, salt: [u8; 16]) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the password cannot be hashed: {error}");
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| failed(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

fn salt() -> Result<[u8; 16], String> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)
        .map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(salt)
}

/// Takes what a pipe brings, without the line end that `echo` adds.
fn read_all(input: &mut impl Read) -> Result<Secret, String> {
    let mut octets = Vec::new();
    let limit = PASSWORD_MAX as u64 + 3;
    input
        .take(limit)
        .read_to_end(&mut octets)
        .map_err(|error| format!("nothing can be read: {error}"))?;
    clean(octets)
}

/// What is fit to be a password, without its line end.
fn clean(octets: Vec<u8>) -> Result<Secret, String> {
    let mut text =
        String::from_utf8(octets).map_err(|_| "the password is not valid UTF-8".to_owned())?;
    let length =
        text.strip_suffix('\n').map_or(text.len(), |line| line.trim_end_matches('\r').len());
    text.truncate(length);
    let refusal = if text.is_empty() {
        Some(
            "the password is empty; type one, or hand it in as in: mailferry hash-password < FILE"
                .to_owned(),
        )
    } else if text.len() > PASSWORD_MAX {
        Some(format!("the password is longer than {PASSWORD_MAX} octets"))
    } else if text.chars().any(char::is_control) {
        Some("the password contains a line break or another control character".to_owned())
    } else {
        None
    };
    // Wrapped in any case, because that wipes it.
    let password = Secret::new(text);
    refusal.map_or(Ok(password), Err)
}

/// Asks on the terminal, without showing what is typed, and again, because nobody sees it.
fn ask_twice() -> Result<Secret, String> {
    let silence = Silence::begin();
    if silence.is_none() {
        complain("warning: the password will be visible, because stty is not there to hide it\n");
    }
    // The keyboard is waited for on a thread of its own, so that Ctrl-C does not leave a terminal that shows nothing.
    let (typed, received) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let first = ask("Password: ", &mut input);
        let answer = first.and_then(|first| {
            let second = ask("Again: ", &mut input)?;
            if first.matches(second.expose()) {
                Ok(first)
            } else {
                Err("the two are not the same".to_owned())
            }
        });
        // Nobody receives it after Ctrl-C.
        let _ = typed.send(answer);
    });
    let waited = super::wait(async {
        tokio::select! {
            answer = received => answer.unwrap_or_else(|_| Err("nothing was typed".to_owned())),
            _ = tokio::signal::ctrl_c() => {
                complain("\n");
                Err("stopped".to_owned())
            }
        }
    });
    waited.unwrap_or_else(|_| Err("the terminal cannot be read".to_owned()))
}

fn ask(question: &str, input: &mut StdinLock<'_>) -> Result<Secret, String> {
    complain(question);
    let mut line = Vec::new();
    let read = input.take(PASSWORD_MAX as u64 + 3).read_until(b'\n', &mut line);
    // The line end was not shown either.
    complain("\n");
    read.map_err(|error| format!("nothing can be read: {error}"))?;
    clean(line)
}

/// While it lives, the terminal does not show what is typed.
struct Silence {
    before: String,
}

impl Silence {
    fn begin() -> Option<Self> {
        let before = stty(&["-g"])?.trim().to_owned();
        stty(&["-echo"])?;
        Some(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if stty(&[&self.before]).is_none() {
            complain("warning: the terminal is still silent; type: stty echo\n");
        }
    }
}

/// Runs `stty` on the terminal that standard input is.
fn stty(arguments: &[&str]) -> Option<String> {
    let run =
        Command::new("stty").args(arguments).stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    run.ok()
        .filter(|done| done.status.success())
        .and_then(|done| String::from_utf8(done.stdout).ok())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;

    use super::*;
    use crate::config::PasswordForm;

    #[test]
    fn the_hash_is_one_that_the_configuration_takes() {
        let text = hash(&Secret::new("hunter2"), [7; 16]).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_eq!(PasswordForm::of(&Secret::new(text.clone())), Ok(PasswordForm::Argon2));
        let parsed = PasswordHash::new(&text).unwrap();
        assert!(Argon2::default().verify_password(b"hunter2", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"hunter3", &parsed).is_err());
        assert_ne!(hash(&Secret::new("hunter2"), salt().unwrap()).unwrap(), text);
    }

    #[test]
    fn only_the_line_end_of_the_pipe_is_removed() {
        let read = |text: &str| read_all(&mut text.as_bytes());
        for (given, password) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a b ", " a b "), ("가나", "가나")]
        {
            assert_eq!(read(given).unwrap().expose(), password);
        }
        let full = "x".repeat(PASSWORD_MAX);
        assert_eq!(read(&format!("{full}\r\n")).unwrap().expose(), full);
        for (given, reason) in [
            ("", "is empty"),
            ("\r\n", "is empty"),
            ("a\nb\n", "line break"),
            ("a\n\n", "line break"),
            ("a\0", "control character"),
            (&format!("{full}x"), "longer than 1024"),
        ] {
            let refused = read(given).unwrap_err();
            assert!(refused.contains(reason), "{given:?}: {refused}");
        }
        assert!(clean(vec![0xff]).unwrap_err().contains("UTF-8"));
    }
}
