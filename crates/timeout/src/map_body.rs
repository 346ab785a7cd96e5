use crate::RequestBody;

/// Makes the request body that the inner service takes.
///
/// [`Direct`] hands on the [`RequestBody`], which every client with a generic body takes; [`MapBody`] wraps it for one that has a fixed body type.
pub trait ConvertBody<B> {
    /// The body that the inner service takes.
    type Body;

    /// Makes the body of the request.
    fn convert(&self, body: RequestBody<B>) -> Self::Body;
}

/// Hands on the [`RequestBody`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

/// Wraps the [`RequestBody`] by a function: `tonic::body::Body::new`, `reqwest::Body::wrap`, `axum::body::Body::new`.
#[derive(Clone, Copy)]
pub struct MapBody<F>(pub(crate) F);

// === impl Direct ===

impl<B> ConvertBody<B> for Direct {
    type Body = RequestBody<B>;

    fn convert(&self, body: RequestBody<B>) -> Self::Body {
        body
    }
}

// === impl MapBody ===

impl<F, B, Body> ConvertBody<B> for MapBody<F>
where
    F: Fn(RequestBody<B>) -> Body,
{
    type Body = Body;

    fn convert(&self, body: RequestBody<B>) -> Self::Body {
        self.0(body)
    }
}

impl<F> std::fmt::Debug for MapBody<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MapBody")
    }
}
