use std::fs;

use rustls::pki_types::CertificateDer;

use super::super::testing::{Files, Pair};
use super::*;
use crate::clock::TimerClock;

/// A watch over files that hold `pair`, and what it presents.
fn watch_over(files: &Files) -> (Watch, Arc<Presented>) {
    let clock: SharedClock =
        Arc::new(TimerClock::starting_at("2026-11-21T12:00:00Z".parse().unwrap()));
    let loaded = certificate::load(&files.files, clock.now()).unwrap();
    let presented = Arc::new(Presented::new(loaded.key));
    let shown = Arc::clone(&presented);
    let watch = Watch::new(files.files.clone(), presented, clock, loaded.digest, loaded.expires);
    (watch, shown)
}

fn shown(presented: &Presented) -> CertificateDer<'static> {
    presented.current().cert[0].clone()
}

fn look(watch: &mut Watch, files: &Files, occasion: Occasion) {
    watch.consider(certificate::read(&files.files), occasion);
}

#[tokio::test(start_paused = true)]
async fn a_new_pair_is_shown_after_two_looks_agree() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let (mut watch, presented) = watch_over(&files);
    look(&mut watch, &files, Occasion::Routine);
    // A renewal in the middle: the certificate is new, the key is not yet.
    files.write_texts(&new.certificate, &old.key);
    look(&mut watch, &files, Occasion::Routine);
    files.write(&new);
    look(&mut watch, &files, Occasion::Routine);
    assert_eq!(shown(&presented), old.der);
    look(&mut watch, &files, Occasion::Routine);
    assert_eq!(shown(&presented), new.der);
}

#[tokio::test(start_paused = true)]
async fn a_bad_pair_leaves_the_old_one_and_is_judged_once() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let (mut watch, presented) = watch_over(&files);
    files.write_texts(&new.certificate, &old.key);
    for _ in 0..3 {
        look(&mut watch, &files, Occasion::Routine);
    }
    assert_eq!(shown(&presented), old.der);
    assert_eq!(watch.judged, certificate::digest_of(&certificate::read(&files.files).unwrap()));
    assert_eq!(watch.pending, None, "nothing is left to be said about it");
    fs::remove_file(&files.files.key).unwrap();
    look(&mut watch, &files, Occasion::Asked);
    assert_eq!(shown(&presented), old.der);
    files.write(&new);
    look(&mut watch, &files, Occasion::Asked);
    assert_eq!(shown(&presented), new.der);
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_noticed_without_a_signal() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let (watch, presented) = watch_over(&files);
    let stop = CancellationToken::new();
    let running = tokio::spawn(watch.run(stop.clone()));
    tokio::time::sleep(3 * INTERVAL).await;
    assert_eq!(shown(&presented), old.der);
    files.write(&new);
    tokio::time::sleep(3 * INTERVAL).await;
    assert_eq!(shown(&presented), new.der);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_signal_is_obeyed_at_once() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let (watch, presented) = watch_over(&files);
    let reload = watch.reload();
    let stop = CancellationToken::new();
    let running = tokio::spawn(watch.run(stop.clone()));
    files.write(&new);
    reload.ask();
    tokio::time::sleep(INTERVAL / 2).await;
    assert_eq!(shown(&presented), new.der);
    stop.cancel();
    running.await.unwrap();
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_link_turned_to_another_folder_is_a_change() {
    use std::os::unix::fs::symlink;

    let (old, new) = (Pair::new(), Pair::new());
    // As Kubernetes mounts secrets: files are links through a link to a folder, which alone is turned.
    let folder = tempfile::tempdir().unwrap();
    for (name, pair) in [("1", &old), ("2", &new)] {
        let version = folder.path().join(name);
        fs::create_dir(&version).unwrap();
        fs::write(version.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(version.join("tls.key"), &pair.key).unwrap();
    }
    let current = folder.path().join("data");
    symlink("1", &current).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("data/{name}"), folder.path().join(name)).unwrap();
    }
    let certificate = folder.path().join("tls.crt");
    let files = CertificateFiles { certificate, key: folder.path().join("tls.key") };
    let files = Files { folder, files };
    let (mut watch, presented) = watch_over(&files);
    let turned = files.folder.path().join("turned");
    symlink("2", &turned).unwrap();
    fs::rename(turned, current).unwrap();
    for _ in 0..2 {
        look(&mut watch, &files, Occasion::Routine);
    }
    assert_eq!(shown(&presented), new.der);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_certificate_is_announced_once_a_day() {
    let pair = Pair::with(|params| params.not_after = rcgen::date_time_ymd(2026, 11, 29));
    let (mut watch, _) = watch_over(&Files::of(&pair));
    watch.remind();
    assert_eq!(watch.reminded, None, "more than a week is left");
    tokio::time::advance(Duration::from_hours(24)).await;
    watch.remind();
    let first = watch.reminded.unwrap();
    tokio::time::advance(Duration::from_hours(23)).await;
    watch.remind();
    assert_eq!(watch.reminded, Some(first));
    tokio::time::advance(Duration::from_hours(1)).await;
    watch.remind();
    assert!(watch.reminded > Some(first));
}
