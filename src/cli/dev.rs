//! Where `mailferry dev` keeps what it catches.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use super::{Exit, complain};

/// A queue of its own. Without a name it is a fresh one that goes when the program does, as with other mail catchers;
/// the queue of real mail is never touched.
#[derive(Debug)]
pub struct DevStore {
    file: PathBuf,
    /// To be removed with everything in it.
    folder: Option<PathBuf>,
}

impl DevStore {
    /// The named file, or one in a new folder that nobody else can look into.
    pub fn new(file: Option<PathBuf>) -> Result<Self, Exit> {
        if let Some(file) = file {
            return Ok(Self { file, folder: None });
        }
        let name = format!("mailferry-dev-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Fails if it exists, so nobody can have prepared it.
        builder.create(&folder).map_err(|error| {
            complain(&format!(
                "mailferry: {} cannot be made: {error}; name a file with --store\n",
                folder.display()
            ));
            Exit::Failed
        })?;
        Ok(Self { file: folder.join("mailferry.db"), folder: Some(folder) })
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for DevStore {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // What cannot be removed is left to the system that cleans its temporary files.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_store_goes_and_a_named_one_stays() {
        let fresh = DevStore::new(None).unwrap();
        let file = fresh.file().to_owned();
        std::fs::write(&file, "x").unwrap();
        assert_ne!(DevStore::new(None).unwrap().file(), file);
        drop(fresh);
        assert!(!file.exists() && !file.parent().unwrap().exists());

        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("dev.db");
        std::fs::write(&named, "x").unwrap();
        drop(DevStore::new(Some(named.clone())).unwrap());
        assert!(named.exists());
    }
}
