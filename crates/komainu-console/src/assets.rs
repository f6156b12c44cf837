//! What pages are made of besides HTML: the stylesheet, the script, the mark. Each has a digest of its contents in its name,
//! so that browsers may keep it forever and never have an old one.

use std::io::Write;

use aws_lc_rs::digest;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of the digest in a name: enough to tell versions apart.
const DIGEST_BYTES: usize = 8;

/// All assets, as they are sent.
pub(crate) struct Assets {
    pub(crate) style: Asset,
    /// The style of charts.
    pub(crate) charts: Asset,
    pub(crate) script: Asset,
    pub(crate) mark: Asset,
}

/// One of them.
pub(crate) struct Asset {
    /// Its path.
    pub(crate) path: String,
    /// What it is, as the header `Content-Type` says.
    pub(crate) media_type: &'static str,
    /// As it is.
    pub(crate) plain: Bytes,
    /// For those who take gzip. Made once, as well as it can be.
    pub(crate) gzipped: Bytes,
}

impl Assets {
    /// Compresses them.
    pub(crate) fn new() -> Self {
        Self {
            style: Asset::new("console", "css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
            charts: Asset::new("charts", "css", "text/css; charset=utf-8", komainu_charts::STYLE),
            script: Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
            mark: Asset::new("mark", "svg", "image/svg+xml", include_str!("../assets/mark.svg")),
        }
    }

    /// The asset with this path.
    pub(crate) fn find(&self, path: &str) -> Option<&Asset> {
        [&self.style, &self.charts, &self.script, &self.mark].into_iter().find(|asset| asset.path == path)
    }
}

impl Asset {
    fn new(name: &str, ending: &str, media_type: &'static str, text: &'static str) -> Self {
        let sha256 = digest::digest(&digest::SHA256, text.as_bytes());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).expect("a vector takes everything");
        let gzipped = encoder.finish().expect("a vector takes everything");
        Self {
            path: format!("/assets/{name}.{}.{ending}", hex::encode(&sha256.as_ref()[..DIGEST_BYTES])),
            media_type,
            plain: Bytes::from_static(text.as_bytes()),
            gzipped: gzipped.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn assets_are_found_by_their_names_and_shrink() {
        let assets = Assets::new();
        for asset in [&assets.style, &assets.charts, &assets.script, &assets.mark] {
            assert_eq!(assets.find(&asset.path).unwrap().plain, asset.plain);
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&*asset.gzipped).read_to_end(&mut text).unwrap();
            assert_eq!(text, asset.plain);
        }
        assert!(assets.style.gzipped.len() < assets.style.plain.len() / 2);
        assert!(assets.find("/assets/console.css").is_none());
    }
}
