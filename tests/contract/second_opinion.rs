//! Bodies, files and names of every message of `tests/mail`, as Python's email package reads them.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::message::Email;
use serde_json::{Value, json};

use crate::letters::corpus;
use crate::support::{ask, python};

/// Where Python finds something else, and why that is right or does no harm.
const DIFFERENT: [(&str, &str); 37] = [
    ("addresses-idn: text", "no charset is stated, and it takes ASCII at its word"),
    ("apple-mail-mixed: page", "two pages are one to us"),
    ("apple-mail-mixed: octets of a file", "the second page is no file"),
    ("bad-quoted-printable: text", "raw octets among the codes are lost there"),
    (
        "boundary-missing-lines: octets of a file",
        "what it cannot divide is a file to it, and the text to us",
    ),
    ("charset-html-meta: page", "it does not look into the page"),
    ("charset-says-ascii: text", "it takes ASCII at its word"),
    ("content-location-relative: page", "references become ids"),
    ("content-location: page", "references become ids"),
    ("delsp-flowed: text", "flowed lines are joined"),
    ("euc-kr-8bit: text", "a letter that only code page 949 has"),
    ("flowed: text", "flowed lines are joined"),
    ("go-net-smtp: text", "no charset is stated, and it takes ASCII at its word"),
    ("inline-without-cid: text", "a text with a file name is a file"),
    ("korean-name-rfc2047: name of a file", "sections and words cut within a character"),
    ("korean-name-rfc2231: name of a file", "it prefers the plain form"),
    ("list-footer: page", "the footer stands in the page too"),
    ("list-footer: octets of a file", "the footer is no file"),
    ("mutt-flowed: text", "flowed lines are joined"),
    (
        "names-hostile: name of a file",
        "it takes backslashes away, and the first word of a name without quotes",
    ),
    ("nextcloud-inline-logo: octets of a file", "a boundary of equals signs without quotes"),
    ("no-boundary: octets of a file", "what it cannot divide is a file to it, and the text to us"),
    ("node-amp: octets of a file", "a further form of the text stays behind"),
    ("preamble-epilogue: octets of a file", "the second text is no file"),
    ("py-cp949: text", "written under the name of EUC-KR, letters that only code page 949 has"),
    ("py-euc-kr: text", "it joins a syllable of eight octets; the decoder of the web does not"),
    ("py-old-script: name of a file", "it puts a blank between two encoded words, within a word"),
    ("raw-8bit-cp949-name: name of a file", "raw octets in the charset of the text"),
    ("rfc2231-continuations: name of a file", "it prefers the plain form"),
    (
        "same-boundary-nested: octets of a file",
        "an empty multipart is a file to it, and a.csv nothing",
    ),
    ("text-enriched: octets of a file", "further forms of the text stay behind"),
    ("text-image-text: octets of a file", "the second text is no file"),
    ("thunderbird-inline: text", "flowed lines are joined"),
    ("two-html-parts: page", "two pages are one to us"),
    ("two-html-parts: octets of a file", "the second page is no file"),
    ("utf-8-8bit-unlabelled: text", "no charset is stated, and it takes ASCII at its word"),
    ("windows-1252: text", "ISO-8859-1 means windows-1252, as in every mail reader"),
];

#[tokio::test]
async fn python_finds_the_same_words_and_files() {
    let Some(python) = python() else { return };
    let samples = corpus();
    let input: Vec<_> = samples.iter().map(|sample| STANDARD.encode(&sample.raw)).collect();
    let answers = ask(&python, "second_opinion.py", "", &json!(input)).await;
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), samples.len());

    let mut different = Vec::new();
    for (sample, theirs) in samples.iter().zip(&answers) {
        let name = sample.name.trim_end_matches(".eml");
        // What the message says, before the From rules.
        let ours = Email::parse(&sample.raw);
        let found = differences(&ours, theirs);
        different.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert_eq!(different, DIFFERENT.map(|(what, _)| what));
}

/// What of Python's is not in ours.
fn differences(ours: &Email, theirs: &Value) -> Vec<&'static str> {
    if theirs["fault"].is_string() {
        return vec!["Python cannot read it"];
    }
    let mut found = Vec::new();
    for (body, what, mine) in [("text", "text", &ours.text), ("html", "page", &ours.html)] {
        if let Some(words) = theirs[body].as_str()
            && !mine.as_deref().unwrap_or_default().contains(words.trim_end())
        {
            found.push(what);
        }
    }
    for file in theirs["files"].as_array().unwrap() {
        let same = ours.attachments.iter().filter(|it| file["sha256"] == hash(&it.bytes));
        let names: Vec<_> = same.map(|it| it.filename.as_str()).collect();
        if names.is_empty() {
            found.push("octets of a file");
        } else if file["name"].as_str().is_some_and(|name| !names.contains(&name)) {
            found.push("name of a file");
        }
    }
    found.dedup();
    found
}

fn hash(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
