//! Pages of names. A token is the last item of the page before it, encoded so that nobody builds on it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use towpath_wire::WireError;

use super::errors::invalid;

/// Items of a page of ListProjects, ListBuilds and ListBuildsForProject.
pub(super) const PAGE_ITEMS: usize = 100;

pub(super) fn encode(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

pub(super) fn decode(token: Option<&str>) -> Result<Option<String>, WireError> {
    let decoded = |token: &str| URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match token {
        None | Some("") => Ok(None),
        Some(token) => decoded(token).map(Some).ok_or_else(|| invalid("Invalid next token")),
    }
}

/// `maxResults` as a number of items.
pub(super) fn size(max_results: Option<i32>) -> usize {
    max_results.and_then(|size| usize::try_from(size).ok()).map_or(PAGE_ITEMS, |size| size.clamp(1, PAGE_ITEMS))
}

/// One page out of a sorted list that is in memory; `name` must be unique.
pub(super) fn of<T>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> String,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), WireError> {
    if let Some(last) = decode(token)? {
        let at = items.iter().position(|item| name(item) == last).ok_or_else(|| invalid("Invalid next token"))?;
        items.drain(..=at);
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|item| encode(&name(item)));
    Ok((items, next))
}
