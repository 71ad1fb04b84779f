//! What pages are made of besides their text: it is part of the program. Each stands at a path that names its content, so a
//! browser may keep it for ever, and a new version of the program brings a new path.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use events::Hash;

use crate::problem::Problem;
use crate::query::PathParts;

/// A file of a page.
pub(super) struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    digest: LazyLock<String>,
}

macro_rules! assets {
    ($($asset:ident = $name:literal $file:literal $media_type:literal;)*) => {
        $(pub(super) static $asset: Asset = Asset {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("../../assets/", $file)),
            digest: LazyLock::new(|| digest_of(&$asset)),
        };)*

        static ALL: &[&Asset] = &[$(&$asset),*];
    };
}

assets! {
    STYLE = "skylink.css" "skylink.css" "text/css; charset=utf-8";
    SCRIPT = "skylink.js" "skylink.js" "text/javascript; charset=utf-8";
    ICON = "icon.svg" "icon.svg" "image/svg+xml";
    CHART_SCRIPT = "uplot.js" "uplot/uPlot.iife.min.js" "text/javascript; charset=utf-8";
    CHART_STYLE = "uplot.css" "uplot/uPlot.min.css" "text/css; charset=utf-8";
}

/// Characters of a digest that a path names.
const DIGEST_CHARACTERS: usize = 16;

fn digest_of(asset: &Asset) -> String {
    Hash::of(asset.text.as_bytes()).to_string().chars().take(DIGEST_CHARACTERS).collect()
}

impl Asset {
    /// Gives the path of this content.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}/{}", *self.digest, self.name)
    }
}

/// `GET /assets/{digest}/{name}`
pub(crate) async fn serve(
    PathParts((digest, name)): PathParts<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = ALL.iter().find(|asset| asset.name == name && *asset.digest == digest);
    let asset = found.ok_or_else(|| Problem::not_found("file"))?;
    let tag = format!("\"{digest}\"");
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.to_str().is_ok_and(|known| known.split(',').any(|one| one.trim() == tag)));
    let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body = if is_known { "" } else { asset.text };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(tag) = tag.parse() {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}
