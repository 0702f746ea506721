#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use super::Spare;
use crate::disk::{Disk, OsDisk};

/// The writer takes a file, and before it has renamed it the next one is made beside it.
#[test]
fn a_taken_file_is_left_alone_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()).unwrap());
    let spare = Spare::new(disk.clone(), 4096);
    spare.prepare().unwrap();
    let taken = spare.take().unwrap();
    taken.file.write_at(b"segment", 0).unwrap();

    spare.prepare().unwrap();
    disk.rename(&taken.name, "1.seg").unwrap();
    let next = spare.take().unwrap();
    disk.rename(&next.name, "2.seg").unwrap();

    let start = |name: &str| {
        let mut bytes = [9; 7];
        disk.open(name).unwrap().read_at(&mut bytes, 0).unwrap();
        bytes
    };
    assert_eq!(&start("1.seg"), b"segment");
    assert_eq!(start("2.seg"), [0; 7]);
}
