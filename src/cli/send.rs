//! `mailferry send`: one message from the command line.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;

use super::{Exit, SendArgs, complain, out};
use crate::config::Config;
use crate::delivery::{NotSent, Sent};
use crate::message::{Address, Attachment, Draft, Mailbox};

/// The body of a message that is only a test.
const TEST_TEXT: &str = "This is a test message, sent with `mailferry send`.\n";

/// Makes the message; says so if something for it is missing.
pub fn draft(args: &SendArgs, config: &Config) -> Result<Draft, Exit> {
    compose(args, config).map_err(|(exit, reason)| {
        complain(&format!("mailferry: {reason}\n"));
        exit
    })
}

fn compose(args: &SendArgs, config: &Config) -> Result<Draft, (Exit, String)> {
    let mailbox = |address: &Address, name: &str| Mailbox {
        name: name.to_owned(),
        address: address.as_str().to_owned(),
    };
    let from = match (&args.from, &config.sender.address) {
        (Some(from), _) => mailbox(from, ""),
        (None, Some(default)) => mailbox(default, &config.sender.name),
        (None, None) => {
            let reason =
                "there is no sender: add --from, or set sender.address (SMTP_FROM_ADDRESS)";
            return Err((Exit::Usage, reason.to_owned()));
        }
    };
    if let Some(name) = &args.provider
        && !config.providers.iter().any(|provider| provider.name == *name)
    {
        let known: Vec<&str> = config.providers.iter().map(|p| p.name.as_str()).collect();
        let reason = format!("there is no provider {name:?}; configured: {}", known.join(", "));
        return Err((Exit::Usage, reason));
    }
    let is_input = |text: &Option<String>| text.as_deref() == Some("-");
    if is_input(&args.text) && is_input(&args.html) {
        let reason = "standard input can be the text or the HTML, not both";
        return Err((Exit::Usage, reason.to_owned()));
    }

    // The limit is that of a message that comes by SMTP.
    let mut left = config.smtp.max_message_size.0;
    let mut text = body(args.text.as_deref(), &mut left)?;
    let html = body(args.html.as_deref(), &mut left)?;
    if text.is_none() && html.is_none() {
        text = Some(TEST_TEXT.to_owned());
    }
    let attachments: Result<Vec<Attachment>, _> =
        args.attach.iter().map(|path| attachment(path, &mut left)).collect();
    Ok(Draft {
        from,
        to: args.to.iter().map(|address| mailbox(address, "")).collect(),
        subject: args.subject.clone(),
        text,
        html,
        attachments: attachments?,
        ..Draft::default()
    })
}

fn body(given: Option<&str>, left: &mut u64) -> Result<Option<String>, (Exit, String)> {
    match given {
        Some("-") => {
            let bytes = read(std::io::stdin().lock(), "standard input", left)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| (Exit::Failed, "standard input is not valid UTF-8".to_owned()))?;
            Ok(Some(text))
        }
        given => Ok(given.map(str::to_owned)),
    }
}

fn attachment(path: &Path, left: &mut u64) -> Result<Attachment, (Exit, String)> {
    let shown = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| (Exit::Failed, format!("{shown} cannot be read: {error}")))?;
    let bytes = read(file, &shown, left)?;
    let filename = path.file_name().map_or(shown, |name| name.to_string_lossy().into_owned());
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    Ok(Attachment {
        content_type: content_type(extension.as_deref()).to_owned(),
        filename,
        content_id: None,
        inline: false,
        alternative: false,
        bytes: Bytes::from(bytes),
    })
}

fn read(source: impl Read, name: &str, left: &mut u64) -> Result<Vec<u8>, (Exit, String)> {
    let mut bytes = Vec::new();
    let limit = left.saturating_add(1);
    let read = source
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| (Exit::Failed, format!("{name} cannot be read: {error}")))?;
    match left.checked_sub(read as u64) {
        Some(rest) => *left = rest,
        None => {
            let reason = format!("with {name} the message is larger than smtp.max_message_size");
            return Err((Exit::Failed, reason));
        }
    }
    Ok(bytes)
}

/// The media type of what people attach; receivers go by the file name for the rest.
fn content_type(extension: Option<&str>) -> &'static str {
    match extension {
        Some("txt" | "log" | "md") => "text/plain; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("ics") => "text/calendar; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("pdf") => "application/pdf",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("doc") => "application/msword",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xls") => "application/vnd.ms-excel",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("svg") => "image/svg+xml",
        Some("mp3") => "audio/mpeg",
        Some("mp4") => "video/mp4",
        Some("eml") => "message/rfc822",
        Some(_) | None => "application/octet-stream",
    }
}

/// Prints who took the message and under which name, or why nobody did.
pub fn report(outcome: Result<Sent, NotSent>) -> Result<(), Exit> {
    match outcome {
        Ok(sent) => {
            let id = sent.provider_message_id.as_deref().unwrap_or("unknown");
            out(&format!(
                "provider    {}\nmessage id  {}\nqueue id    {}\n",
                sent.provider,
                super::output::tidy(id, 200),
                sent.id
            ));
            Ok(())
        }
        Err(failure) => {
            let error = super::output::said_by(failure.provider.as_deref(), &failure.error);
            let error = super::output::tidy(&error, 1000);
            complain(&format!("mailferry: not sent: {error}\n"));
            if let Some(id) = failure.id {
                complain(&format!("`mailferry queue show {id}` has the details\n"));
            }
            Err(Exit::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(attach: &[&Path]) -> SendArgs {
        SendArgs {
            to: vec!["ada@example.org".parse().unwrap()],
            from: Some("noreply@example.org".parse().unwrap()),
            subject: "Hello".to_owned(),
            text: None,
            html: None,
            attach: attach.iter().map(|path| path.to_path_buf()).collect(),
            provider: None,
        }
    }

    #[test]
    fn a_message_needs_only_a_recipient_and_a_sender() {
        let mut config = Config::default();
        let mut args = args(&[]);
        let draft = compose(&args, &config).unwrap();
        assert_eq!(draft.from.address, "noreply@example.org");
        assert_eq!(draft.text.as_deref(), Some(TEST_TEXT));

        args.from = None;
        assert_eq!(compose(&args, &config).unwrap_err().0, Exit::Usage);
        config.sender.address = Some("default@example.org".parse().unwrap());
        config.sender.name = "Default".to_owned();
        let from = compose(&args, &config).unwrap().from;
        assert_eq!((from.name.as_str(), from.address.as_str()), ("Default", "default@example.org"));
    }

    #[test]
    fn a_file_is_attached_under_its_name_and_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("보고서.PDF");
        std::fs::write(&file, vec![0_u8; 2000]).unwrap();
        let mut config = Config::default();
        let draft = compose(&args(&[&file]), &config).unwrap();
        assert_eq!(draft.attachments[0].filename, "보고서.PDF");
        assert_eq!(draft.attachments[0].content_type, "application/pdf");
        assert_eq!(draft.attachments[0].bytes.len(), 2000);

        config.smtp.max_message_size.0 = 3000;
        let (_, reason) = compose(&args(&[&file, &file]), &config).unwrap_err();
        assert!(reason.contains("larger than smtp.max_message_size"), "{reason}");
        let (_, reason) = compose(&args(&[Path::new("/nowhere")]), &config).unwrap_err();
        assert!(reason.contains("/nowhere cannot be read"), "{reason}");
    }

    #[test]
    fn an_unknown_provider_is_refused_before_anything_is_sent() {
        let mut args = args(&[]);
        args.provider = Some("resent".to_owned());
        let (exit, reason) = compose(&args, &Config::default()).unwrap_err();
        assert_eq!(exit, Exit::Usage);
        assert!(reason.contains("\"resent\""), "{reason}");
    }
}
