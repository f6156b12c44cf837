//! The contents of an artifact, chunk by chunk, so that whoever sends it does not hold it in memory.

use std::fs::File;
use std::io::{self, Read};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey};
use aws_lc_rs::digest;

use super::{ArtifactError, CHUNK_BYTES, HEADER_BYTES, Sha256Digest, header, nonce};

/// Reads and decrypts an object. An object that is damaged is found to be so at the latest when its end is read.
pub(crate) struct Contents {
    file: File,
    sha256: Sha256Digest,
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    bytes: u64,
    /// Bytes that were read so far.
    bytes_read: u64,
    chunks: usize,
    chunk: Vec<u8>,
    digest: digest::Context,
}

impl Contents {
    pub(super) fn open(mut file: File, sha256: Sha256Digest, key: LessSafeKey) -> Result<Self, ArtifactError> {
        let mut read = [0; HEADER_BYTES];
        file.read_exact(&mut read).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ArtifactError::Damaged { sha256 },
            _ => ArtifactError::Io { sha256, source },
        })?;
        let (_, bytes) = read.split_last_chunk::<8>().expect("a header is longer than eight bytes");
        let bytes = u64::from_be_bytes(*bytes);
        if read != header(bytes) {
            return Err(ArtifactError::Damaged { sha256 });
        }
        let digest = digest::Context::new(&digest::SHA256);
        Ok(Self { file, sha256, key, header: read, bytes, bytes_read: 0, chunks: 0, chunk: Vec::new(), digest })
    }

    /// How many bytes there are altogether.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next chunk, 64 KiB but for the last; none at the end of contents that are what was stored.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<&[u8]>, ArtifactError> {
        let sha256 = self.sha256;
        self.chunk.clear();
        let mut sealed = Read::by_ref(&mut self.file).take((CHUNK_BYTES + AES_256_GCM.tag_len()) as u64);
        sealed.read_to_end(&mut self.chunk).map_err(|source| ArtifactError::Io { sha256, source })?;
        if self.chunk.is_empty() {
            let is_whole =
                self.bytes_read == self.bytes && Sha256Digest::from_digest(self.digest.clone().finish()) == sha256;
            return if is_whole { Ok(None) } else { Err(ArtifactError::Damaged { sha256 }) };
        }
        let opened = self.key.open_in_place(nonce(self.chunks), Aad::from(self.header), &mut self.chunk);
        let chunk = opened.map_err(|_| ArtifactError::Damaged { sha256 })?;
        self.chunks += 1;
        self.bytes_read += chunk.len() as u64;
        self.digest.update(chunk);
        Ok(Some(chunk))
    }
}
