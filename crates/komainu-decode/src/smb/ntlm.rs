//! NTLMSSP (MS-NLMP) where it lies in a security blob.
//!
//! The blob around it is SPNEGO, in ASN.1, which says nothing that is told; so the signature is looked for instead. That
//! also reads blobs whose ASN.1 is broken, and the bare NTLMSSP that some clients send.

use super::bytes::{array_at, slice_at, u16_at, u32_at, utf8_of_wide};
use super::event::{Mechanism, NtlmMessage, SessionSetup};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// The object identifiers of Kerberos in DER: RFC 4121, and the one that Windows sends by mistake (MS-SPNG, 3.1.5.2).
const KERBEROS: [&[u8]; 2] = [b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02", b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"];

/// NTLMSSP_NEGOTIATE_UNICODE and NTLMSSP_NEGOTIATE_VERSION (MS-NLMP, 2.2.2.5).
const UNICODE: u32 = 1;
const VERSION: u32 = 0x0200_0000;

/// Puts what the client's blob says into `setup`.
pub(super) fn client_blob(blob: &[u8], setup: &mut SessionSetup<'static>) {
    let Some(message) = message(blob) else {
        // An AP-REQ has its application tag behind the identifier and the token id 01 00 (RFC 4121, 4.1).
        let is_ticket = find(blob, b"\x01\x00\x6e").is_some();
        if is_ticket && KERBEROS.iter().any(|oid| find(blob, oid).is_some()) {
            setup.mechanism = Some(Mechanism::Kerberos);
        }
        return;
    };
    match u32_at(message, 8) {
        Some(1) => setup.ntlm = Some(NtlmMessage::Negotiate),
        Some(3) => authenticate(message, setup),
        _ => {}
    }
}

/// Puts what the server's blob says into `setup`.
pub(super) fn server_blob(blob: &[u8], setup: &mut SessionSetup<'static>) {
    if let Some(message) = message(blob)
        && u32_at(message, 8) == Some(2)
    {
        // MS-NLMP, 2.2.1.2.
        setup.ntlm = setup.ntlm.or(Some(NtlmMessage::Challenge));
        setup.challenge = array_at(message, 24);
    }
}

/// MS-NLMP, 2.2.1.3: pairs of length and offset, then flags and, if they say so, a version.
fn authenticate(message: &[u8], setup: &mut SessionSetup<'static>) {
    let field = |at: usize| {
        let (length, offset) = (u16_at(message, at)?, u32_at(message, at + 4)?);
        slice_at(message, usize::try_from(offset).ok()?, usize::from(length))
    };
    let flags = u32_at(message, 60).unwrap_or(UNICODE);
    let text = |at| {
        let raw = field(at).unwrap_or_default();
        if flags & UNICODE != 0 { utf8_of_wide(raw) } else { raw.to_vec() }
    };
    setup.ntlm = Some(NtlmMessage::Authenticate);
    setup.domain = text(28).into();
    setup.user = text(36).into();
    setup.workstation = text(44).into();
    let (lm, nt) = (field(12).unwrap_or_default(), field(20).unwrap_or_default());
    // An anonymous login has an empty NT response, and an LM response that is empty or one zero (MS-NLMP, 3.2.5.1.2).
    let proof = if nt.is_empty() && lm.len() > 1 { lm } else { nt };
    setup.proof = proof.to_vec().into();
    setup.mechanism = Some(Mechanism::Ntlmssp);
    if flags & VERSION != 0
        && let Some([major, minor, low, high]) = array_at(message, 64)
    {
        setup.ntlm_version = Some((major, minor, u16::from_le_bytes([low, high])));
    }
}

fn message(blob: &[u8]) -> Option<&[u8]> {
    find(blob, SIGNATURE).and_then(|at| blob.get(at..))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
