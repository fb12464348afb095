//! Where a base image comes from: a name, a path or a download.

use std::path::Path;

use super::ImageRef;
use super::diagnose::{Problem, Span};
use super::raw::At;
use super::texts::{Download, Image};

/// Tells names, paths and downloads apart; paths are relative to `dir`.
pub(crate) fn resolve(at: &At<Image>, dir: &Path) -> Result<ImageRef, Problem> {
    match at.get() {
        Image::Text(text) => by_text(text, at.span(), dir),
        Image::Download(download) => by_url(download, at.span()),
    }
}

fn by_text(text: &str, span: Span, dir: &Path) -> Result<ImageRef, Problem> {
    let bad = |label: &str, help: String| {
        Err(Problem::error(format!("bad image `{text}`")).at(span.clone(), label).help(help))
    };
    if text.contains("://") {
        let help = format!("write `image = {{ url = \"{text}\", sha256 = \"...\" }}`");
        return bad("a download needs the digest of its file", help);
    }
    let ending = |ending: &str| text.to_ascii_lowercase().ends_with(ending);
    if text.contains('/') || ending(".qcow2") || ending(".img") {
        return Ok(ImageRef::Path(super::expand::absolute(dir, text)));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    if text.is_empty() {
        return bad("empty", "name an image, such as `\"debian-12\"`".to_owned());
    }
    if !text.chars().all(plain) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let fixed: String = text.to_lowercase().replace([' ', ':'], "-");
        let help = if fixed.chars().all(plain) && fixed != text {
            format!("did you mean `\"{fixed}\"`?")
        } else {
            "give a name such as `\"debian-12\"`, or a path such as `\"./disk.qcow2\"`".to_owned()
        };
        return bad("neither a name nor a path", help);
    }
    Ok(ImageRef::Name(text.to_owned()))
}

fn by_url(download: &Download, table: Span) -> Result<ImageRef, Problem> {
    let form = "write `{ url = \"https://...\", sha256 = \"...\" }`";
    let Some(url) = &download.url else {
        return Err(Problem::error("an image without `url`").at(table, "from where?").help(form));
    };
    let host = url.get().strip_prefix("https://").or_else(|| url.get().strip_prefix("http://"));
    if host.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
        || url.get().contains(char::is_whitespace)
    {
        return Err(Problem::error("bad `url` of an image")
            .at(url.span(), "not an address of the web")
            .help("it starts with `https://`; for a file write `image = \"./disk.qcow2\"`"));
    }
    let (digest, digits) = match (&download.sha256, &download.sha512) {
        (Some(digest), None) => (digest, 64),
        (None, Some(digest)) => (digest, 128),
        (None, None) => {
            return Err(Problem::error("an image without a digest")
                .at(table, "`sha256` is missing")
                .help("the publisher lists it beside the image, often as SHA256SUMS"));
        }
        (Some(_), Some(second)) => {
            return Err(Problem::error("an image with two digests")
                .at(second.span(), "one is enough")
                .help("leave out `sha256` or `sha512`"));
        }
    };
    let hex = digest.get().trim().to_ascii_lowercase();
    if hex.len() != digits || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        let label = if hex.chars().all(|c| c.is_ascii_hexdigit()) {
            format!("{} digits, not {digits}", hex.len())
        } else {
            "not hexadecimal".to_owned()
        };
        let name = if digits == 64 { "sha256" } else { "sha512" };
        return Err(Problem::error(format!("bad `{name}` of an image"))
            .at(digest.span(), label)
            .help(format!("it is {digits} hexadecimal digits, as `{name}sum` prints them")));
    }
    Ok(ImageRef::Url { url: url.get().clone(), digest: hex })
}
