use angzarr_proto::Dialect;
use http::uri::PathAndQuery;
use http::{Request, Uri};

/// Sends a request of any dialect to the canonical service, and leaves its [`Dialect`] among
/// the request's extensions.
///
/// The body needs no change: the dialects share their messages' numbers. Requests for other
/// services pass as they are, without a dialect.
pub(crate) fn to_canonical<B>(mut request: Request<B>) -> Request<B> {
    let Some((dialect, method)) = Dialect::of_path(request.uri().path()) else {
        return request;
    };
    if dialect != Dialect::V1
        && let Some(uri) = canonical_uri(request.uri(), method)
    {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(dialect);
    request
}

/// None for a path that is none: the router answers that it knows no such method.
fn canonical_uri(uri: &Uri, method: &str) -> Option<Uri> {
    let path = format!("/{}.{method}", Dialect::V1.package());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
