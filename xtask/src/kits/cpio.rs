//! The archive that Linux unpacks as its first root file system: cpio in the "newc" form, as
//! `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel describes it.
//!
//! Written here, because it needs no rights: files belong to root and devices exist only in the archive.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

/// The time of every file, in seconds since 1970 (2023-01-01): the same tree gives the same archive.
const MTIME_S: u32 = 1_672_531_200;

/// What stands at a path.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
    CharacterDevice { mode: u32, major: u32, minor: u32 },
}

/// A file system: nodes by their path below the root, without a slash at the beginning.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts a node at a path, in place of what was there. Folders above it that are missing are made.
    pub(crate) fn put(&mut self, path: &str, node: Node) {
        for (end, _) in path.match_indices('/') {
            self.nodes.entry(path[..end].to_owned()).or_insert(Node::Folder { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// The archive. Parents come before what is in them, since their names are shorter.
    pub(crate) fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (inode, (path, node)) in (1..).zip(&self.nodes) {
            let (mode, links, content, device) = match node {
                Node::Folder { mode } => (0o040_000 | mode, 2, &[][..], (0, 0)),
                Node::File { mode, bytes } => (0o100_000 | mode, 1, bytes.as_slice(), (0, 0)),
                Node::Link { target } => (0o120_777, 1, target.as_bytes(), (0, 0)),
                Node::CharacterDevice { mode, major, minor } => (0o020_000 | mode, 1, &[][..], (*major, *minor)),
            };
            append(&mut archive, inode, path, mode, links, content, device)
                .with_context(|| format!("cannot archive `{path}`"))?;
        }
        append(&mut archive, 0, "TRAILER!!!", 0, 1, &[], (0, 0))?;
        Ok(archive)
    }
}

fn append(
    archive: &mut Vec<u8>,
    inode: u32,
    path: &str,
    mode: u32,
    links: u32,
    content: &[u8],
    device: (u32, u32),
) -> anyhow::Result<()> {
    ensure!(!path.contains('\0'), "a path holds a zero byte");
    let content_bytes = u32::try_from(content.len()).context("a file has more than 4 GiB")?;
    let path_bytes = u32::try_from(path.len() + 1).context("a path has more than 4 GiB")?;
    archive.extend_from_slice(b"070701");
    // Inode, mode, owner, group, links, time, size, the device it is on, the device it is, length of the path, checksum.
    let fields = [inode, mode, 0, 0, links, MTIME_S, content_bytes, 0, 0, device.0, device.1, path_bytes, 0];
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(path.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(content);
    pad(archive);
    Ok(())
}

/// Fills up to a multiple of four bytes.
fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.put("etc/init.d/rcS", Node::File { mode: 0o755, bytes: b"#!/bin/sh\n".to_vec() });
        tree.put("bin/sh", Node::Link { target: "busybox".to_owned() });
        tree.put("dev/null", Node::CharacterDevice { mode: 0o666, major: 1, minor: 3 });
        tree.put("tmp", Node::Folder { mode: 0o1777 });
        tree
    }

    #[test]
    fn missing_folders_are_made() {
        let tree = sample();
        assert!(tree.contains("etc") && tree.contains("etc/init.d") && !tree.contains("etc/init.d/rcK"));
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        assert_eq!(sample().archive().unwrap(), sample().archive().unwrap());
    }

    /// The kernel itself reads the whole format when a kit is booted; this holds the layout of one entry.
    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_each_filled_up() {
        let mut tree = Tree::default();
        tree.put("a", Node::File { mode: 0o644, bytes: b"hello".to_vec() });
        let expected = format!(
            "070701{}{}{}{}{}{}{}{}{}{}{}{}{}a\0hello\0\0\0070701",
            "00000001",
            "000081a4",
            "00000000",
            "00000000",
            "00000001",
            "63b0cd00",
            "00000005",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
        );
        let archive = tree.archive().unwrap();
        assert_eq!(String::from_utf8_lossy(&archive[..expected.len()]), expected);
        assert!(archive.ends_with(b"TRAILER!!!\0\0\0\0"));
    }
}
