//! Logins: the server's side of NTLMSSP (MS-NLMP), bare or in SPNEGO (RFC 4178).
//!
//! NTLMSSP is found by its signature, as it may lie in SPNEGO or not. Where guests are let in, everybody is one, whatever
//! they say, unless they prove the password of an account: so does a device that maps users whom it does not know to its
//! guest. Messages of guests are not signed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use md5::{Digest, Md5};

use super::Smb;
use super::files::FileTime;
use super::signing::rc4;
use super::wire::{Out, length_u16, length_u32, slice_at_u32, text_of_narrow, text_of_wide, u16_at, u32_at, wide};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// The longest login message that is read, in bytes. Those of NTLM are below 2 KiB; the rest of a longer one is not
/// looked at.
const BLOB_BYTES_MAX: usize = 16 * 1024;

/// Flags of NTLMSSP (MS-NLMP, 2.2.2.5).
const UNICODE: u32 = 0x0000_0001;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const ALWAYS_SIGN: u32 = 0x0000_8000;
const TARGET_IS_SERVER: u32 = 0x0002_0000;
const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const VERSION: u32 = 0x0200_0000;
const KEY_128: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;
const KEY_56: u32 = 0x8000_0000;
/// The ones that hold only if the client wants them.
const WANTED: u32 =
    ALWAYS_SIGN | EXTENDED_SESSION_SECURITY | KEY_128 | KEY_EXCHANGE | KEY_56 | 0x0000_0010 | 0x0000_0020;

/// SPNEGO: 1.3.6.1.5.5.2, and NTLMSSP: 1.3.6.1.4.1.311.2.2.10, in DER.
const SPNEGO_OID: &[u8] = &[0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02];
const NTLM_OID: &[u8] = &[0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A];

/// Who was let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Without a name.
    Anonymous,
    /// With any name.
    Guest,
    /// With the password of an account, proved by NTLMv2; both sides know the key.
    Account(SessionKey),
}

/// What both sides of a login know when it is over (MS-NLMP, 3.1.1.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionKey(pub(super) [u8; 16]);

/// What follows from a login message.
pub(super) enum Step {
    /// The client has to say more; the blob is for it.
    Continue(Vec<u8>),
    /// It is let in; the blob is for it.
    In(Visitor, Vec<u8>),
    Refused,
}

/// What a server says of itself when a dialect is negotiated: that it speaks NTLMSSP (RFC 4178, 4.2.1).
pub(super) fn opening() -> Vec<u8> {
    let mechanisms = tagged(0xA0, &tagged(0x30, NTLM_OID));
    let init = tagged(0xA0, &tagged(0x30, &mechanisms));
    tagged(0x60, &[SPNEGO_OID, &init].concat())
}

/// Takes a login message. `challenge` is the connection's.
pub(super) fn step(persona: &Smb, blob: &[u8], challenge: [u8; 8], now: FileTime) -> Step {
    let blob = &blob[..blob.len().min(BLOB_BYTES_MAX)];
    let is_bare = blob.starts_with(SIGNATURE);
    let at = blob.windows(SIGNATURE.len()).position(|window| window == SIGNATURE);
    let message = at.map(|at| &blob[at..]);
    match message.and_then(|message| u32_at(message, 8).map(|kind| (kind, message))) {
        Some((1, message)) => {
            let posed = challenge_message(persona, u32_at(message, 12).unwrap_or(UNICODE), challenge, now);
            Step::Continue(if is_bare { posed } else { answer(1, true, &posed) })
        }
        Some((3, message)) => match visitor(persona, message, challenge) {
            Some(visitor) => Step::In(visitor, if is_bare { Vec::new() } else { answer(0, false, &[]) }),
            None => Step::Refused,
        },
        // Kerberos, or nothing yet: NTLMSSP is all that is spoken here.
        Some(_) | None if !is_bare && !blob.is_empty() => Step::Continue(answer(1, true, &[])),
        Some(_) | None => Step::Refused,
    }
}

/// Who somebody is who shows the responses of NTLM alone, as in SMB1 without SPNEGO.
pub(super) fn bare_visitor(
    persona: &Smb,
    user: &str,
    domain: &str,
    lm: &[u8],
    nt: &[u8],
    challenge: [u8; 8],
) -> Option<Visitor> {
    let is_anonymous = user.is_empty() && nt.is_empty() && lm.len() <= 1;
    let mut passwords = persona.accounts.passwords_of(user.as_bytes());
    match passwords.find_map(|password| proved(password, user, domain, nt, challenge)) {
        Some(key) => Some(Visitor::Account(key)),
        None if persona.has_guests => Some(if is_anonymous { Visitor::Anonymous } else { Visitor::Guest }),
        None => None,
    }
}

/// MS-NLMP, 2.2.1.3.
fn visitor(persona: &Smb, message: &[u8], challenge: [u8; 8]) -> Option<Visitor> {
    let field = |at| {
        let length = u16_at(message, at)?;
        slice_at_u32(message, u32_at(message, at + 4)?, length.into())
    };
    let is_wide = u32_at(message, 60).unwrap_or(UNICODE) & UNICODE != 0;
    let text = |at| {
        let raw = field(at).unwrap_or_default();
        if is_wide { text_of_wide(raw) } else { text_of_narrow(raw) }
    };
    let (lm, nt) = (field(12).unwrap_or_default(), field(20).unwrap_or_default());
    let visitor = bare_visitor(persona, &text(36), &text(28), lm, nt, challenge)?;
    let chosen = field(52).and_then(|field| field.first_chunk::<16>());
    Some(match (visitor, chosen) {
        // The client has chosen a key, and sends it under the one that follows from the password (3.1.5.1.2).
        (Visitor::Account(key), Some(chosen)) if u32_at(message, 60).is_some_and(|flags| flags & KEY_EXCHANGE != 0) => {
            let chosen = rc4(&key.0, chosen);
            Visitor::Account(SessionKey(*chosen.first_chunk().expect("it is as long as what was sent")))
        }
        (visitor, _) => visitor,
    })
}

/// The key that follows from a password if NTLMv2's response proves that it is known (MS-NLMP, 3.3.2).
fn proved(password: &[u8], user: &str, domain: &str, response: &[u8], challenge: [u8; 8]) -> Option<SessionKey> {
    let (proof, rest) = response.split_first_chunk::<16>()?;
    let password = wide(&String::from_utf8_lossy(password));
    let key = hmac_md5(&md4::Md4::digest(&password), &wide(&(user.to_uppercase() + domain)));
    let expected = hmac_md5(&key, &[&challenge[..], rest].concat());
    verify_slices_are_equal(&expected, proof).is_ok().then(|| SessionKey(hmac_md5(&key, &expected)))
}

/// RFC 2104 with MD5; the keys here have 16 bytes.
fn hmac_md5(key: &[u8], message: &[u8]) -> [u8; 16] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Md5::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Md5::new().chain_update(pad(0x5C)).chain_update(inner).finalize().into()
}

/// MS-NLMP, 2.2.1.2.
fn challenge_message(persona: &Smb, wanted: u32, challenge: [u8; 8], now: FileTime) -> Vec<u8> {
    const HEADER_BYTES: usize = 56;
    let flags = UNICODE | REQUEST_TARGET | NTLM | TARGET_IS_SERVER | TARGET_INFO | VERSION | wanted & WANTED;
    let target = wide(&persona.server_name);
    let mut info = Out::new();
    let dns = persona.server_name.to_lowercase();
    // MsvAvNbDomainName, NbComputerName, DnsDomainName, DnsComputerName: a server of a workgroup is its own domain.
    for (id, text) in [(2, persona.server_name.as_str()), (1, &persona.server_name), (4, ""), (3, &dns)] {
        let text = wide(text);
        info.u16(id).u16(length_u16(text.len())).bytes(&text);
    }
    // MsvAvTimestamp, and the end.
    info.u16(7).u16(8).u64(now.0).u32(0);
    let mut out = Out::new();
    out.bytes(SIGNATURE).u32(2);
    out.u16(length_u16(target.len())).u16(length_u16(target.len())).u32(length_u32(HEADER_BYTES));
    out.u32(flags).bytes(&challenge).u64(0);
    out.u16(length_u16(info.len())).u16(length_u16(info.len())).u32(length_u32(HEADER_BYTES + target.len()));
    // Version 6.1, build 0, revision 15 of NTLMSSP: as Samba has it.
    out.u8(6).u8(1).u16(0).u8(0).u8(0).u8(0).u8(15);
    out.bytes(&target).bytes(info.as_slice());
    out.take()
}

/// NegTokenResp (RFC 4178, 4.2.2); `state` is 0 completed, 1 incomplete.
fn answer(state: u8, names_mechanism: bool, token: &[u8]) -> Vec<u8> {
    let mut fields = tagged(0xA0, &[0x0A, 1, state]);
    if names_mechanism {
        fields.extend(tagged(0xA1, NTLM_OID));
    }
    if !token.is_empty() {
        fields.extend(tagged(0xA2, &tagged(0x04, token)));
    }
    tagged(0xA1, &tagged(0x30, &fields))
}

/// An element in DER. What is written here is shorter than 64 KiB.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = length_u16(content.len()).to_be_bytes();
    let head: &[u8] = match content.len() {
        0..=0x7F => &[tag, low],
        0x80..=0xFF => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// What differs from one connection to the next: bytes that nobody guesses without the seed.
pub(super) fn bytes_of_seed<const N: usize>(seed: u64, purpose: &[u8]) -> [u8; N] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&seed.to_le_bytes());
    context.update(purpose);
    let digest = context.finish();
    std::array::from_fn(|index| digest.as_ref()[index % digest::SHA256_OUTPUT_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of MS-NLMP, 4.2.4: user `User` of `Domain` with password `Password`.
    #[test]
    fn ntlm_version_2_is_checked_as_documented() {
        let challenge = hex::decode("0123456789abcdef").unwrap().try_into().unwrap();
        let response = hex::decode(concat!(
            "68cd0ab851e51c96aabc927bebef6a1c",
            "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000",
            "02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000",
        ))
        .unwrap();
        let check = |password: &str, user: &str, expected| {
            let key = proved(password.as_bytes(), user, "Domain", &response, challenge);
            assert_eq!(key.map(|key| hex::encode(key.0)).as_deref(), expected, "{user} {password}");
        };
        // 4.2.4.1.2 has the key.
        let key = Some("8de40ccadbc14a82f15cb0ad0de95ca3");
        check("Password", "User", key);
        check("Password", "user", key);
        check("password", "User", None);
        check("Password", "Usher", None);
    }

    #[test]
    fn lengths_in_der() {
        assert_eq!(tagged(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(tagged(4, &[7; 200])[..4], [4, 0x81, 200, 7]);
        assert_eq!(tagged(4, &[7; 300])[..5], [4, 0x82, 1, 44, 7]);
    }
}
