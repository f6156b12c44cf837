//! Entrances for fuzz targets.

use crate::lookup::HashList;

/// Any bytes as a list of digests: no panic, what is told is bounded and has reasons, and the same list is read from whatever
/// pieces it comes in.
pub fn hash_list(bytes: &[u8]) {
    let (whole, read) = HashList::read("list:fuzz".to_owned(), bytes).expect("memory can be read");
    assert!(read.problems.iter().all(|problem| !problem.reason.is_empty()), "each problem has a reason");
    assert!(read.problems.len() <= 20 && read.problems.len() as u64 <= read.unusable, "what is told is bounded");
    let pieces = std::io::BufReader::with_capacity(1 + bytes.len() % 7, bytes);
    let again = HashList::read("list:fuzz".to_owned(), pieces).expect("memory can be read");
    assert_eq!(again, (whole, read), "pieces change nothing");
}

/// Any bytes as each thing that an OpenID provider says: no panic, nobody is vouched for without a signature, what is said is
/// bounded, and endpoints are ones that nobody reads along.
pub fn openid_provider(bytes: &[u8]) {
    crate::oidc::fuzz(bytes);
}
