use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, RsaKeySize, SignatureAlgorithm};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_400_000);

fn open(dir: &Path) -> LocalAuthority {
    LocalAuthority::open(dir, NOW).unwrap()
}

fn roots(authority: &LocalAuthority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap()).unwrap();
    roots
}

fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.unix_seconds() as u64))
}

fn verify_client(authority: &LocalAuthority, der: &[u8], at: Timestamp) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)), provider).build().unwrap();
    verifier.verify_client_cert(&CertificateDer::from(der.to_vec()), &[], unix_time(at)).map(|_| ())
}

fn verify_server(authority: &LocalAuthority, der: &[u8], name: &str, at: Timestamp) -> Result<(), rustls::Error> {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authority)), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&CertificateDer::from(der.to_vec()), &[], &name, &[], unix_time(at)).map(|_| ())
}

#[test]
fn opening_again_finds_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    let first = open(&ca);
    let second = open(&ca);
    assert_eq!(first.root_pem(), second.root_pem());
    assert_eq!(first.notification_certificate_pem(), second.notification_certificate_pem());
    // What the first issued, the second vouches for.
    let (certificate, _) =
        first.issue_with_new_key(&CertificateSubject { common_name: "MyDevice".to_owned() }, NOW).unwrap();
    verify_client(&second, &certificate.der, NOW).unwrap();
}

#[test]
fn secrets_are_readable_by_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    open(&ca);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ca), 0o700);
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&ca).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["notification.key", "notification.pem", "root-ca.key", "root-ca.pem"]);
}

#[test]
fn a_start_that_was_killed_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).root_pem();
    // Killed after the key was written and while the certificate was.
    std::fs::rename(dir.path().join(ROOT_CERTIFICATE_FILE), dir.path().join("root-ca.pem.new")).unwrap();
    std::fs::remove_file(dir.path().join(NOTIFICATION_CERTIFICATE_FILE)).unwrap();
    std::fs::remove_file(dir.path().join(NOTIFICATION_KEY_FILE)).unwrap();
    let second = open(dir.path());
    assert_ne!(first, second.root_pem());
    assert!(!dir.path().join("root-ca.pem.new").exists());
}

#[test]
fn damaged_folders_are_refused_and_left_alone() {
    fn check(damage: impl FnOnce(&Path), expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path());
        damage(dir.path());
        let before = files_in(dir.path());
        let error = LocalAuthority::open(dir.path(), NOW).err().expect("the damage is seen");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(files_in(dir.path()), before);
    }
    fn files_in(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
    check(
        |dir| std::fs::remove_file(dir.join(ROOT_KEY_FILE)).unwrap(),
        "root-ca.pem` is not usable: root-ca.key is missing beside it",
    );
    check(|dir| std::fs::write(dir.join(ROOT_KEY_FILE), "no key").unwrap(), "root-ca.key` is not usable");
    check(|dir| std::fs::write(dir.join(ROOT_CERTIFICATE_FILE), "no certificate").unwrap(), "it is not PEM");
    check(|dir| std::fs::write(dir.join(ROOT_CERTIFICATE_FILE), vec![b'x'; 70_000]).unwrap(), "more than 65536 bytes");
    check(
        |dir| {
            let other = tempfile::tempdir().unwrap();
            open(other.path());
            std::fs::copy(other.path().join(ROOT_CERTIFICATE_FILE), dir.join(ROOT_CERTIFICATE_FILE)).unwrap();
        },
        "it belongs to another key",
    );
    check(|dir| std::fs::write(dir.join(NOTIFICATION_KEY_FILE), "").unwrap(), "notification.key` is not usable");
}

#[test]
fn device_certificates_live_until_2049_and_open_the_gate_only_as_clients() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let subject = CertificateSubject { common_name: "localhost".to_owned() };
    let (certificate, keys) = authority.issue_with_new_key(&subject, NOW).unwrap();
    assert_eq!(certificate.not_after, LONG_LIVED_UNTIL);
    assert!(certificate.not_before < NOW);
    verify_client(&authority, &certificate.der, NOW).unwrap();
    verify_client(&authority, &certificate.der, LONG_LIVED_UNTIL).unwrap();
    verify_client(&authority, &certificate.der, LONG_LIVED_UNTIL.plus(Duration::from_secs(1))).unwrap_err();
    verify_server(&authority, &certificate.der, "localhost", NOW).unwrap_err();

    assert!(keys.private_key_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert!(keys.public_key_pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(format!("{keys:?}"), "IssuedKeyPair(…)");
    let key = PrivateKeyDer::from_pem_slice(keys.private_key_pem.as_bytes()).unwrap();
    let chain = vec![CertificateDer::from(certificate.der.clone())];
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    rustls::sign::CertifiedKey::new(chain, signing).keys_match().unwrap();

    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate.der).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=localhost");
    assert!(!parsed.is_ca());
    let (other, _) = authority.issue_with_new_key(&subject, NOW).unwrap();
    let (_, other) = x509_parser::parse_x509_certificate(&other.der).unwrap();
    assert_ne!(parsed.raw_serial(), other.raw_serial());
}

#[test]
fn server_certificates_are_good_for_their_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let names = ["iot.example.org", "192.0.2.7", "2001:db8::7", "localhost"].map(str::to_owned);
    let server = authority.server_certificate(&names, NOW).unwrap();
    let der = CertificateDer::from_pem_slice(server.chain_pem.as_bytes()).unwrap();
    for name in ["iot.example.org", "192.0.2.7", "2001:db8::7", "localhost", "127.0.0.1", "::1"] {
        verify_server(&authority, &der, name, NOW).unwrap();
    }
    verify_server(&authority, &der, "example.org", NOW).unwrap_err();
    verify_server(&authority, &der, "localhost", server.not_after.plus(Duration::from_secs(1))).unwrap_err();
    verify_client(&authority, &der, NOW).unwrap_err();
    PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
    assert!(!format!("{server:?}").contains("PRIVATE"));
}

#[test]
fn server_names_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let long = "a".repeat(64);
    for name in ["", "a b", "-a.example", "ex..ample", "exämple.org", "a\nb", long.as_str()] {
        let error = authority.server_certificate(&[name.to_owned()], NOW).unwrap_err();
        assert!(error.to_string().contains("is neither a DNS name nor an IP address"), "{error}");
    }
    let error = authority.server_certificate(&vec!["a.example".to_owned(); 101], NOW).unwrap_err();
    assert!(error.to_string().contains("at most 100"), "{error}");
}

/// A request of `key` for `common_name`, which also asks to be a server and an authority.
fn request(key: &KeyPair, common_name: &str) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.distinguished_name.push(DnType::OrganizationName, "Example");
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn requests_get_their_subject_and_key_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let check = |key: KeyPair, common_name: &str, expected_subject: &str| {
        let issued = authority.issue_for_request(&request(&key, common_name), NOW).unwrap();
        verify_client(&authority, &issued.der, NOW).unwrap();
        verify_server(&authority, &issued.der, "localhost", NOW).unwrap_err();
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
        assert_eq!(parsed.subject().to_string(), expected_subject);
        assert_eq!(parsed.public_key().raw, key.subject_public_key_info());
        assert!(!parsed.is_ca());
        assert!(parsed.subject_alternative_name().unwrap().is_none());
        assert_eq!(issued.not_after, LONG_LIVED_UNTIL);
    };
    let generate = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm).unwrap();
    check(generate(&PKCS_ECDSA_P256_SHA256), "camera-7", "CN=camera-7, O=Example");
    check(generate(&PKCS_ECDSA_P384_SHA384), "camera-7", "CN=camera-7, O=Example");
    check(generate(&PKCS_RSA_SHA256), "camera-7", "CN=camera-7, O=Example");
    let rsa_3072 = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
    check(rsa_3072, "", "CN=Komainu device");
}

/// Made with `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha256 -nodes -subj /CN=p384-sha256`.
const P384_SHA256_REQUEST: &str = include_str!("testdata/p384-sha256.csr");
/// Made with `openssl req -new -newkey rsa:1024 -nodes -subj /CN=short`.
const RSA_1024_REQUEST: &str = include_str!("testdata/rsa-1024.csr");
/// Made with `openssl req -new -newkey rsa:2048 -sha1 -nodes -subj /CN=sha1`.
const RSA_SHA1_REQUEST: &str = include_str!("testdata/rsa-sha1.csr");
/// Made with `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /DC=org/DC=example/CN=x`.
const TWICE_REQUEST: &str = include_str!("testdata/twice.csr");

#[test]
fn a_p384_request_signed_with_sha256_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let issued = authority.issue_for_request(P384_SHA256_REQUEST, NOW).unwrap();
    verify_client(&authority, &issued.der, NOW).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    assert_eq!(parsed.public_key().parsed().unwrap().key_size(), 384);
}

#[test]
fn requests_that_are_not_acceptable_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let check = |request: &str, expected: &str| match authority.issue_for_request(request, NOW) {
        Err(AuthorityError::BadRequest { reason }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("expected a bad request ({expected}), got {other:?}"),
    };
    check("", "it is not PEM");
    check(&"x".repeat(20_000), "at most 16384");
    check(&authority.root_pem(), "expected CERTIFICATE REQUEST");
    check(&files::pem("CERTIFICATE REQUEST", b"nonsense"), "not a PKCS#10");
    check(RSA_1024_REQUEST, "1024 bits");
    check(RSA_SHA1_REQUEST, "use SHA-256 or stronger");
    check(TWICE_REQUEST, "is there twice");
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    check(&request(&ed25519, "x"), "neither RSA nor");

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let good = request(&key, "camera-7");
    let (_, block) = x509_parser::pem::parse_x509_pem(good.as_bytes()).unwrap();
    let at = block.contents.windows(8).position(|window| window == b"camera-7").unwrap();
    let mut forged = block.contents.clone();
    forged[at] = b'k';
    check(&files::pem("CERTIFICATE REQUEST", &forged), "signature is not of its key");
    forged.push(0);
    check(&files::pem("CERTIFICATE REQUEST", &forged), "bytes after its end");
    // No prefix of a request is a request, and none makes us panic.
    for len in 0..block.contents.len() {
        assert!(request::read(&files::pem("CERTIFICATE REQUEST", &block.contents[..len])).is_err());
    }
}

#[test]
fn notifications_are_signed_by_the_published_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(dir.path());
    let pem = authority.notification_certificate_pem();
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let (_, root) = x509_parser::pem::parse_x509_pem(authority.root_pem().as_bytes()).unwrap();
    assert_eq!(certificate.issuer().as_raw(), root.parse_x509().unwrap().subject().as_raw());
    let key = certificate.public_key().subject_public_key.data.to_vec();
    let check = |version, algorithm: &'static dyn VerificationAlgorithm| {
        let signature = authority.sign_notification(version, b"Message\nhello\n").unwrap();
        let key = UnparsedPublicKey::new(algorithm, &key);
        key.verify(b"Message\nhello\n", &signature).unwrap();
        key.verify(b"Message\nhallo\n", &signature).unwrap_err();
    };
    check(NotificationSignature::V1, &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY);
    check(NotificationSignature::V2, &RSA_PKCS1_2048_8192_SHA256);
    assert_eq!(rsa_sha1::sign(b"no key", &[0; 20]), None);
    assert_eq!(rsa_sha1::sign(&authority.notification_key_pkcs1, &[0; 19]), None);
}
