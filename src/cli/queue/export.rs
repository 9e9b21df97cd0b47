//! Raw messages out of the queue, octet by octet.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Answer, find, json};
use crate::cli::ExportArgs;
use crate::message::QueueId;
use crate::queue::{Filter, Store, StoreError};
use crate::whole_file;

/// How many messages are read at a time.
const PAGE: usize = 500;

/// Mail is nobody's business but its owner's.
const MODE: u32 = 0o600;

/// What an export of many has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AllExported {
    pub(super) exported: u64,
    pub(super) without_content: u64,
}

/// What makes no sense about these options together.
pub(super) fn usage(args: &ExportArgs, as_json: bool) -> Option<&'static str> {
    match args {
        ExportArgs { directory: None, id, .. } if id.len() > 1 => {
            Some("several messages need --directory, which each is written into")
        }
        ExportArgs { directory: None, output, .. } if as_json && is_stdout(output.as_deref()) => {
            Some("--json needs --output FILE or --directory: standard output cannot be for both")
        }
        ExportArgs { .. } => None,
    }
}

pub(super) async fn export(args: &ExportArgs, store: &dyn Store, as_json: bool) -> Answer {
    let mut answer = Answer::default();
    let directory = args.directory.as_deref();
    if let Some(directory) = directory
        && let Err(error) = fs::create_dir_all(directory)
    {
        answer.errors.push(format!("{} cannot be made: {error}", directory.display()));
        return answer;
    }
    if let (true, Some(directory)) = (args.all, directory) {
        let mut done = AllExported::default();
        answer.errors.extend(all(args, store, directory, &mut done).await.err());
        answer.tell_all(&done, directory, as_json);
        return answer;
    }
    for name in &args.id {
        let (id, content) = match content_of(store, name).await {
            Ok(found) => found,
            Err(error) => {
                answer.acted(name, Err(error), "", as_json);
                continue;
            }
        };
        let file = match (directory, args.output.as_deref()) {
            (Some(directory), _) => file_in(directory, id),
            (None, output) if is_stdout(output) => {
                answer.raw = Some(content);
                continue;
            }
            (None, output) => output.unwrap_or(Path::new("-")).to_owned(),
        };
        match write(&file, &content) {
            Ok(()) if as_json => {
                answer.text.push_str(&json::exported(&id.to_string(), &file, content.len()));
            }
            Ok(()) => {
                let size = content.len();
                answer.text.push_str(&format!("{id} is in {} ({size} bytes)\n", file.display()));
            }
            Err(error) => {
                let error = unwritten(&file, &error);
                answer.acted(&id.to_string(), Err(error), "", as_json);
            }
        }
    }
    answer
}

impl Answer {
    fn tell_all(&mut self, done: &AllExported, directory: &Path, as_json: bool) {
        if as_json {
            let ok = self.errors.is_empty();
            self.text.push_str(&json::all_exported(done, directory, ok));
            return;
        }
        let AllExported { exported, without_content } = done;
        let s = if *exported == 1 { " is" } else { "s are" };
        self.text.push_str(&format!("{exported} message{s} in {}\n", directory.display()));
        if *without_content > 0 {
            self.text.push_str(&format!("of {without_content} the content is not kept any more\n"));
        }
    }
}

/// Every message, newest first. A file that cannot be written ends it: the next would not be either.
async fn all(
    args: &ExportArgs,
    store: &dyn Store,
    directory: &Path,
    done: &mut AllExported,
) -> Result<(), String> {
    let mut before = None;
    loop {
        let filter = Filter { state: args.state, before, limit: PAGE, ..Filter::default() };
        let page = store.list(filter).await.map_err(|error| error.to_string())?;
        for summary in &page.messages {
            match store.content(summary.id).await {
                Ok(Some(content)) => {
                    let file = file_in(directory, summary.id);
                    write(&file, &content).map_err(|error| unwritten(&file, &error))?;
                    done.exported += 1;
                }
                Ok(None) | Err(StoreError::NotFound(_)) => done.without_content += 1,
                Err(error) => return Err(error.to_string()),
            }
        }
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

async fn content_of(store: &dyn Store, name: &str) -> Result<(QueueId, Bytes), String> {
    let id = find::one(store, name).await?;
    match store.content(id).await {
        Ok(Some(content)) => Ok((id, content)),
        Ok(None) | Err(StoreError::NotFound(_)) => {
            Err(format!("the content of message {id} is not kept any more (queue.keep_bodies)"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn is_stdout(output: Option<&Path>) -> bool {
    output.is_none_or(|output| output == Path::new("-"))
}

fn file_in(directory: &Path, id: QueueId) -> PathBuf {
    directory.join(format!("{id}.eml"))
}

fn unwritten(file: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", file.display())
}

/// A regular file is there as a whole or not at all. Into something else, a pipe or a device, it is written.
fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() => {
            OpenOptions::new().write(true).open(file)?.write_all(content)
        }
        Ok(_) | Err(_) => whole_file::write(file, content, MODE),
    }
}
