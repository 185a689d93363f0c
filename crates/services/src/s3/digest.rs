//! Checksums: MD5 for the ETag and the five algorithms S3 knows, over whole bodies, over the checksums of parts, and
//! combined from parts. It must not do I/O; bytes are handed to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

/// A checksum algorithm a client may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Bytes in a checksum.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksums of parts can be combined to that of the whole object.
    pub(super) fn combines(self) -> bool {
        self.crc().is_some()
    }
}

/// A checksum as it stands on the wire: base64, with `-N` after it when it covers N parts' checksums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub algorithm: Algorithm,
    pub value: String,
    /// Of the full object, not of its parts' checksums.
    pub full: bool,
}

impl Sum {
    pub(super) fn full(algorithm: Algorithm, raw: &[u8]) -> Self {
        Self { algorithm, value: BASE64.encode(raw), full: true }
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.full { "FULL_OBJECT" } else { "COMPOSITE" }
    }
}

enum Running {
    Crc(crc_fast::Digest, usize),
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Running {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => Self::Crc(crc_fast::Digest::new(crc), algorithm.len()),
            (Algorithm::Sha1, None) => Self::Sha1(Box::default()),
            (_, None) => Self::Sha256(Box::default()),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(digest, len) => crc_bytes(digest.finalize(), len),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

/// One pass over a body: MD5, and the checksums asked for.
pub(super) struct Hasher {
    md5: Md5,
    running: Vec<(Algorithm, Running)>,
    len: u64,
}

/// What [`Hasher`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub len: u64,
    pub md5: [u8; 16],
    sums: Vec<Sum>,
}

impl Digests {
    pub(super) fn etag(&self) -> String {
        hex::encode(self.md5)
    }

    pub(super) fn sum(&self, algorithm: Algorithm) -> Option<&Sum> {
        self.sums.iter().find(|sum| sum.algorithm == algorithm)
    }
}

impl Hasher {
    /// Each algorithm is computed once, however often it is named.
    pub(super) fn new(algorithms: &[Algorithm]) -> Self {
        let mut running: Vec<(Algorithm, Running)> = Vec::new();
        for algorithm in algorithms {
            if running.iter().all(|(there, _)| there != algorithm) {
                running.push((*algorithm, Running::new(*algorithm)));
            }
        }
        Self { md5: Md5::new(), running, len: 0 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.md5.update(bytes);
        for (_, running) in &mut self.running {
            match running {
                Running::Crc(digest, _) => digest.update(bytes),
                Running::Sha1(digest) => digest.update(bytes),
                Running::Sha256(digest) => digest.update(bytes),
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn finish(self) -> Digests {
        let sums = self.running.into_iter().map(|(algorithm, running)| Sum::full(algorithm, &running.finish()));
        Digests { len: self.len, md5: self.md5.finalize().into(), sums: sums.collect() }
    }
}

/// A one-shot checksum of bytes already in memory.
pub(super) fn of(algorithm: Algorithm, bytes: &[u8]) -> Sum {
    let mut running = Running::new(algorithm);
    match &mut running {
        Running::Crc(digest, _) => digest.update(bytes),
        Running::Sha1(digest) => digest.update(bytes),
        Running::Sha256(digest) => digest.update(bytes),
    }
    Sum::full(algorithm, &running.finish())
}

/// A one-shot MD5 of bytes already in memory.
pub(super) fn md5_of(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn crc_bytes(value: u64, len: usize) -> Vec<u8> {
    value.to_be_bytes()[8 - len..].to_vec()
}

/// The ETag of an object uploaded in parts: the MD5 of the parts' MD5s, and how many they are.
pub(super) fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = parts.len();
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(hex::decode(part).unwrap_or_default());
    }
    format!("{}-{count}", hex::encode(md5.finalize()))
}

/// The checksum of an object uploaded in parts, from each part's checksum and length. `None` when a part's checksum is
/// not what its algorithm makes, which means that the stored part is damaged.
pub(super) fn of_parts(algorithm: Algorithm, full: bool, parts: &[(&str, u64)]) -> Option<Sum> {
    let mut raw = Vec::with_capacity(parts.len());
    for (value, len) in parts {
        let bytes = BASE64.decode(value).ok()?;
        if bytes.len() != algorithm.len() {
            return None;
        }
        raw.push((bytes, *len));
    }
    if !full {
        let joined: Vec<u8> = raw.into_iter().flat_map(|(bytes, _)| bytes).collect();
        let sum = of(algorithm, &joined);
        return Some(Sum { algorithm, value: format!("{}-{}", sum.value, parts.len()), full: false });
    }
    let crc = algorithm.crc()?;
    let mut whole: Option<u64> = None;
    for (bytes, len) in raw {
        let value = bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        whole = Some(match whole {
            None => value,
            Some(so_far) => crc_fast::checksum_combine(crc, so_far, value, len),
        });
    }
    Some(Sum::full(algorithm, &crc_bytes(whole?, algorithm.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_catalogues() {
        let sum = |algorithm| of(algorithm, b"123456789").value;
        assert_eq!(sum(Algorithm::Crc32), BASE64.encode([0xcb, 0xf4, 0x39, 0x26]));
        assert_eq!(sum(Algorithm::Crc32c), BASE64.encode([0xe3, 0x06, 0x92, 0x83]));
        assert_eq!(sum(Algorithm::Crc64Nvme), BASE64.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        let sha1 = hex::decode("f7c3bc1d808e04732adf679965ccc34ca7ae3441").unwrap();
        assert_eq!(sum(Algorithm::Sha1), BASE64.encode(sha1));
        assert_eq!(hex::encode(md5_of(b"123456789")), "25f9e794323b453885f5181f1b624d0b");
    }

    #[test]
    fn parts_combine_to_the_checksum_of_the_whole() {
        let (left, right) = (vec![7_u8; 100_001], vec![9_u8; 31]);
        let whole: Vec<u8> = left.iter().chain(&right).copied().collect();
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.combines()) {
            let (a, b) = (of(algorithm, &left), of(algorithm, &right));
            let parts = [(a.value.as_str(), left.len() as u64), (b.value.as_str(), right.len() as u64)];
            assert_eq!(of_parts(algorithm, true, &parts), Some(of(algorithm, &whole)));
        }
        assert_eq!(of_parts(Algorithm::Sha256, true, &[("AAAA", 1)]), None);
    }

    #[test]
    fn a_composite_checksum_names_its_parts() {
        let part = of(Algorithm::Sha256, b"x").value;
        let sum = of_parts(Algorithm::Sha256, false, &[(&part, 1), (&part, 1)]).unwrap();
        assert!(sum.value.ends_with("=-2"), "{}", sum.value);
        assert_eq!(sum.kind(), "COMPOSITE");
    }

    #[test]
    fn the_multipart_etag_is_md5_of_md5s() {
        let part = hex::encode(md5_of(b"hello"));
        // printf hello | md5sum | xxd -r -p | md5sum
        assert_eq!(multipart_etag([part.as_str()].into_iter()), "62109206880d38a4010a98e11243924a-1");
    }
}
