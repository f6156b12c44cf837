//! A certificate authority for one run, a server certificate for mosquitto, and two device certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::programs::run_to_end;

/// The files of a run.
pub(crate) struct Certificates {
    folder: PathBuf,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The kinds of keys that devices have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceKey {
    P256,
    Rsa2048,
}

impl DeviceKey {
    pub(crate) const ALL: [Self; 2] = [Self::P256, Self::Rsa2048];

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "device-p256",
            Self::Rsa2048 => "device-rsa2048",
        }
    }

    fn openssl(self) -> &'static [&'static str] {
        match self {
            Self::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::Rsa2048 => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        }
    }
}

impl Certificates {
    /// Makes them. The authority and the server have P-256 keys, as Komainu's own have.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let certificates = Self { folder: folder.to_owned() };
        certificates.make_key("ca", DeviceKey::P256)?;
        certificates.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-out",
            "ca.crt",
            "-days",
            "30",
            "-subj",
            "/CN=bench root",
        ])?;
        certificates.make_key("server", DeviceKey::P256)?;
        certificates.sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")?;
        for key in DeviceKey::ALL {
            certificates.make_key(key.name(), key)?;
            certificates.sign(key.name(), "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n")?;
        }
        Ok(certificates)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub(crate) fn server(&self) -> Identity {
        self.identity("server")
    }

    pub(crate) fn device(&self, key: DeviceKey) -> Identity {
        self.identity(key.name())
    }

    fn identity(&self, name: &str) -> Identity {
        let file = |extension| self.folder.join(format!("{name}.{extension}"));
        Identity { certificate: file("crt"), key: file("key") }
    }

    fn make_key(&self, name: &str, key: DeviceKey) -> anyhow::Result<()> {
        let out = format!("{name}.key");
        let mut arguments = vec!["genpkey", "-out", &out, "-algorithm"];
        arguments.extend(key.openssl());
        self.openssl(&arguments)
    }

    fn sign(&self, name: &str, extensions: &str) -> anyhow::Result<()> {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let file = format!("{name}.ext");
        fs::write(self.folder.join(&file), extensions).with_context(|| format!("cannot write {file}"))?;
        self.openssl(&["req", "-new", "-key", &key, "-out", &request, "-subj", &format!("/CN={name}")])?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            &file,
            "-out",
            &certificate,
        ])
    }

    fn openssl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run_to_end(Command::new("openssl").current_dir(&self.folder).args(arguments)).map(drop)
    }
}
